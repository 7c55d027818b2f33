//! What the admin socket tells of stored calls.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use serde::Deserialize;
use tokio::time::timeout;

use crate::call::id::AccountId;
use crate::daemon::admin::Sorry;
use crate::daemon::overview::Overview;
use crate::ops::calls::{Explained, LIMIT, Listing, Question, Row, VERSION};
use crate::outbox::filter::Filter;
use crate::outbox::search::{Found, Wanted};
use crate::outbox::store::listing::Look;

/// A look that lasts longer is given up, before the connection ends.
pub(super) const LOOK_MAX: Duration = Duration::from_secs(12);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    call: String,
}

pub async fn calls(
    State(overview): State<Arc<Overview>>,
    Query(question): Query<Question>,
) -> Result<Json<Listing>, Sorry> {
    let (filter, limit) =
        question.filter().map_err(|error| Sorry(StatusCode::BAD_REQUEST, error.to_string()))?;
    if question.after.is_some() {
        let text = "`after` goes with /v1/export; here `to` asks for older calls".to_owned();
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    let looked = overview.store.look_through(Look::new(filter, limit, Row::from));
    Ok(Json(timeout(LOOK_MAX, looked).await.map_err(|_| too_long())??.into()))
}

pub async fn explain(
    State(overview): State<Arc<Overview>>,
    Query(Named { call }): Query<Named>,
) -> Result<Json<Explained>, Sorry> {
    let wanted = Wanted::parse(&call);
    let (found, more) = match wanted {
        Wanted::Named(name) => {
            let search =
                timeout(LOOK_MAX, overview.store.find_named(name)).await.map_err(|_| too_long())??;
            (search.found, search.more)
        }
        Wanted::Number(_) | Wanted::Ended { .. } => {
            let filter = Filter { wanted: Some(wanted), ..Filter::default() };
            let looked = overview.store.look_through(Look::new(filter, LIMIT, Found::from));
            let listing = timeout(LOOK_MAX, looked).await.map_err(|_| too_long())??;
            (listing.found, usize::from(listing.more))
        }
    };
    let manners = timeout(LOOK_MAX, overview.store.manners()).await.map_err(|_| too_long())??;
    let of_found =
        |account: &AccountId| found.iter().any(|found: &Found| found.call.record.account == *account);
    let mixed_batches = manners.into_iter().filter(|(account, _)| of_found(account));
    let mixed_batches = mixed_batches.map(|(account, known)| (account, known.into())).collect();
    Ok(Json(Explained { v: VERSION, found, more, mixed_batches }))
}

pub(super) fn too_long() -> Sorry {
    let text = format!(
        "the store did not find it within {} s: its disk is slow or hangs; ask for less time or fewer calls",
        LOOK_MAX.as_secs()
    );
    Sorry(StatusCode::SERVICE_UNAVAILABLE, text)
}
