//! What people want done, at the admin socket. Each order is durable before it is answered, and names who
//! gave it: the system says which user that is.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::http::StatusCode;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;

use crate::clock;
use crate::daemon::admin::Sorry;
use crate::daemon::admin::gate::Gate;
use crate::daemon::overview::Overview;
use crate::ops::calls::{CALLS_MAX, Changed, Order, PauseOrder, VERSION, Verdicts};
use crate::ops::screen::fit;
use crate::outbox::schedule::person::Deed;

/// Columns of a name and of a reason: they stand in every list.
const NAME_MAX: usize = 40;
const WHY_MAX: usize = 200;

/// The user at the other end.
#[derive(Clone, Copy, Debug)]
pub struct Peer(Option<u32>);

impl Connected<IncomingStream<'_, Gate<UnixListener>>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Gate<UnixListener>>) -> Self {
        Self(stream.io().user())
    }
}

pub async fn deed(
    deed: Deed,
    State(overview): State<Arc<Overview>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(order): Json<Order>,
) -> Result<Json<Verdicts>, Sorry> {
    if order.calls.len() > CALLS_MAX {
        let text = format!("an order names {CALLS_MAX} calls at most, and this one {}", order.calls.len());
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    let mut what = order.intervention(deed);
    (what.by, what.why) = signed(peer, &what.by, what.why.as_deref());
    let verdicts = overview.store.intervene(what, order.calls.clone(), clock::host()).await?;
    Ok(Json(Verdicts { v: VERSION, verdicts: order.calls.into_iter().zip(verdicts).collect() }))
}

pub async fn pause(
    stop: bool,
    State(overview): State<Arc<Overview>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(mut order): Json<PauseOrder>,
) -> Result<Json<Changed>, Sorry> {
    if !overview.accounts.contains_key(&order.account) {
        let names: Vec<_> = overview.accounts.keys().map(ToString::to_string).collect();
        let text = format!("there is no account {}; there are {}", order.account, names.join(", "));
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    (order.by, order.why) = signed(peer, &order.by, order.why.as_deref());
    let word = order.pause(clock::host());
    let changed = overview.store.pause(order.account, stop, word).await?;
    Ok(Json(Changed { v: VERSION, changed }))
}

/// `anna (uid 1000)`, and why.
pub(super) fn signed(peer: Peer, by: &str, why: Option<&str>) -> (String, Option<String>) {
    let name = fit(by, NAME_MAX);
    let by = match peer.0 {
        Some(user) => format!("{name} (uid {user})"),
        None => name,
    };
    (by, why.map(|why| fit(why, WHY_MAX)))
}
