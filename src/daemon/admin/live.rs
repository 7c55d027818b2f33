//! What the admin socket tells of calls in progress: each intake is asked beside the others, and one that does
//! not answer in time is said to be silent.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clock;
use crate::daemon::admin::Sorry;
use crate::daemon::overview::{Overview, Watched};
use crate::intake::task::inquiry::Seen;
use crate::ops::live::{CALLS_MAX, Live, LivePbx, Question, VERSION};
use crate::ops::status::LinkStatus;

/// How long an intake may take: it answers between two reads, so that is very long.
const ANSWER_MAX: Duration = Duration::from_secs(2);

pub async fn live(
    State(overview): State<Arc<Overview>>,
    Query(Question { pbx }): Query<Question>,
) -> Result<Json<Live>, Sorry> {
    let meant = |watched: &&Watched| pbx.as_ref().is_none_or(|pbx| watched.name == *pbx);
    let asked: Vec<_> = overview.pbxs.iter().filter(meant).map(|watched| (watched, ask(watched))).collect();
    if let Some(pbx) = pbx.filter(|_| asked.is_empty()) {
        let names: Vec<_> = overview.pbxs.iter().map(|watched| watched.name.to_string()).collect();
        let text = format!("there is no PBX {pbx}; there are {}", names.join(", "));
        return Err(Sorry(StatusCode::BAD_REQUEST, text));
    }
    let mut pbxs = Vec::with_capacity(asked.len());
    for (watched, answer) in asked {
        let (seen, failure) = match answer.await {
            Ok(Ok(seen)) => (seen, None),
            Ok(Err(failure)) => (Seen::default(), Some(failure)),
            Err(error) => (Seen::default(), Some(error.to_string())),
        };
        pbxs.push(of_pbx(watched, seen, failure));
    }
    Ok(Json(Live { v: VERSION, now: clock::host(), pbxs }))
}

fn ask(watched: &Watched) -> JoinHandle<Result<Seen, String>> {
    let inquiry = watched.inquiry.clone();
    tokio::spawn(async move {
        match timeout(ANSWER_MAX, inquiry.calls(CALLS_MAX)).await {
            Ok(answer) => answer.map_err(|silent| silent.to_string()),
            Err(_) => Err(format!("the intake did not answer within {} s", ANSWER_MAX.as_secs())),
        }
    })
}

fn of_pbx(watched: &Watched, seen: Seen, failure: Option<String>) -> LivePbx {
    let Seen { calls, more, now } = seen;
    LivePbx {
        name: watched.name.clone(),
        link: LinkStatus::from(&*watched.link.borrow()),
        now,
        open: watched.pulse.look().open,
        calls,
        more,
        failure,
    }
}
