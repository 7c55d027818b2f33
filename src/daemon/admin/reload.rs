//! Reading the configuration again, at the admin socket. What came of it is answered, whether or not it counts.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::connect_info::ConnectInfo;
use axum::http::StatusCode;
use tokio::time::timeout;

use crate::daemon::admin::Sorry;
use crate::daemon::admin::orders::{Peer, signed};
use crate::daemon::overview::Overview;
use crate::ops::reload::{Order, Reloaded};

/// A file that is not read by then lies on a disk that hangs; the connection ends soon after.
const ANSWER_MAX: Duration = Duration::from_secs(12);

pub async fn reload(
    State(overview): State<Arc<Overview>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Json(Order { by }): Json<Order>,
) -> Result<Json<Reloaded>, Sorry> {
    let Some(reloader) = &overview.reloader else {
        return Err(sorry("this daemon was started without a file that can be read again"));
    };
    match timeout(ANSWER_MAX, reloader.reload(signed(peer, &by, None).0)).await {
        Ok(Some(reloaded)) => Ok(Json(reloaded)),
        Ok(None) => Err(sorry("the daemon is ending")),
        Err(_) => Err(sorry(
            "the configuration, or a file that it names, was not read in 12 s: its disk hangs; the running \
             configuration stays until it is read",
        )),
    }
}

fn sorry(words: &str) -> Sorry {
    Sorry(StatusCode::SERVICE_UNAVAILABLE, words.to_owned())
}
