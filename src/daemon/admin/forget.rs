//! Forgetting a number, at the admin socket.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::StatusCode;

use crate::clock;
use crate::daemon::admin::Sorry;
use crate::daemon::admin::orders::{Peer, signed};
use crate::daemon::overview::Overview;
use crate::ops::forget::{Oblivion, Order};
use crate::outbox::forget::{DIGITS_MIN, Forget, is_number};

pub async fn forget(
    State(overview): State<Arc<Overview>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(mut order): Json<Order>,
) -> Result<Json<Oblivion>, Sorry> {
    if !is_number(&order.number) {
        let text = format!("a whole number has {DIGITS_MIN} digits at least");
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    if !order.really {
        return Ok(Json(overview.store.traces(&order.number).await?.into()));
    }
    (order.by, _) = signed(peer, &order.by, None);
    let (store, what) = (overview.store.clone(), Forget::from(order));
    // It comes to its end, whether or not the connection lasts so long.
    let work = tokio::spawn(async move { store.forget_number(what, clock::host()).await });
    let done = work.await.map_err(|error| Sorry(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))??;
    Ok(Json(done.into()))
}
