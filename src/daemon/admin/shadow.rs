//! What the admin socket tells of shadow mode.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use tokio::time::timeout;

use crate::daemon::admin::Sorry;
use crate::daemon::admin::looks::{LOOK_MAX, too_long};
use crate::daemon::overview::Overview;
use crate::ops::shadow::{self, COUNTED_MAX, Question, Report, Seen};
use crate::outbox::store::listing::Look;

pub async fn report(
    State(overview): State<Arc<Overview>>,
    Query(question): Query<Question>,
) -> Result<Json<Report>, Sorry> {
    let looked = overview.store.look_through(Look::new(question.filter(), COUNTED_MAX, Seen::from));
    let calls = timeout(LOOK_MAX, looked).await.map_err(|_| too_long())??;
    let mut strangers = Vec::new();
    for account in overview.accounts.keys() {
        let kept = timeout(LOOK_MAX, overview.store.strangers(account)).await.map_err(|_| too_long())??;
        strangers.extend(kept.into_iter().map(|stranger| (account.clone(), stranger)));
    }
    Ok(Json(shadow::report(&question, calls.found, strangers, calls.more)))
}
