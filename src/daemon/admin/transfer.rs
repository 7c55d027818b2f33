//! Calls that leave and come at the admin socket, a bounded piece a request.

use std::sync::Arc;

use axum::Json;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, State};
use axum::http::StatusCode;

use crate::clock;
use crate::daemon::admin::Sorry;
use crate::daemon::admin::orders::{Peer, signed};
use crate::daemon::overview::Overview;
use crate::ops::calls::Question;
use crate::ops::transfer::{Arrived, Coming, PIECE, Shipped, VERSION};
use crate::outbox::store::transfer::Shipment;

/// Bytes of a piece: [`PIECE`] calls of some 10 KiB.
pub const PIECE_MAX: usize = 2 << 20;

/// Reads of the store for one answer: whoever looks for few among many comes back.
const READS_MAX: usize = 32;

pub async fn export(
    State(overview): State<Arc<Overview>>,
    Query(question): Query<Question>,
) -> Result<Json<Shipped>, Sorry> {
    let (filter, _) = question.filter().map_err(|error| Sorry(StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut part = Shipment { items: Vec::new(), next: question.after };
    for _ in 0..READS_MAX {
        part = overview.store.export(filter.clone(), part.next, PIECE).await?;
        if part.next.is_none() || !part.items.is_empty() {
            break;
        }
    }
    Ok(Json(Shipped { v: VERSION, calls: part.items, next: part.next }))
}

pub async fn import(
    State(overview): State<Arc<Overview>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(Coming { calls, by }): Json<Coming>,
) -> Result<Json<Arrived>, Sorry> {
    if calls.len() > PIECE {
        let text = format!("a piece has {PIECE} calls at most, and this one {}", calls.len());
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    if let Some(stranger) = calls.iter().find(|call| !overview.accounts.contains_key(&call.account)) {
        let (call, account) = (&stranger.call.record.call_id, &stranger.account);
        let text = format!("call {call} is of account {account}, and there is none of that name");
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    let (by, _) = signed(peer, &by, None);
    let ids: Vec<_> = calls.iter().map(|call| call.call.record.call_id.clone()).collect();
    let arrivals = overview.store.import(calls, by, clock::host()).await?;
    Ok(Json(Arrived { v: VERSION, arrivals: ids.into_iter().zip(arrivals).collect() }))
}
