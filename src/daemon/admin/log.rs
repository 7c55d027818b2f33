//! The log, at the admin socket: its level, and under which name a number stands in it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use crate::daemon::admin::Sorry;
use crate::daemon::admin::orders::{Peer, signed};
use crate::daemon::overview::Overview;
use crate::ops::log::words::{FOR_MAX, Name, Order, Shown, VERSION};
use crate::pseudonym;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    number: String,
}

pub async fn show(State(overview): State<Arc<Overview>>) -> Json<Shown> {
    Json(Shown { v: VERSION, now: overview.log.now() })
}

pub async fn change(
    State(overview): State<Arc<Overview>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(order): Json<Order>,
) -> Result<Json<Shown>, Sorry> {
    let lasts = order.for_seconds;
    if lasts.is_some_and(|seconds| !(1..=FOR_MAX).contains(&seconds)) {
        let text = format!("a level is set for 1 s to {FOR_MAX} s (24 h), or until the next start");
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    let (by, _) = signed(peer, &order.by, None);
    let changed = overview.log.change(order.level.as_deref(), lasts.map(Duration::from_secs), &by);
    let now = changed.map_err(|error| Sorry(StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(Json(Shown { v: VERSION, now }))
}

pub async fn name(Query(Asked { number }): Query<Asked>) -> Json<Name> {
    Json(Name { v: VERSION, phone_hash: pseudonym::of(&number) })
}
