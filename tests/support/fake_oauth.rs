//! amoCRM's token end point on loopback: exchanges each code and each refresh token once, as the real
//! one does, and knows where the account is. Faults are queued by the test.

#![allow(dead_code, reason = "each test uses a part")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State as Shares;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::Notify;

/// What the account is and how it behaves.
#[derive(Debug)]
pub struct State {
    /// The access token that is accepted, and the refresh token that is exchanged.
    pub access: String,
    pub refresh: String,
    pub code: Option<String>,
    pub secret: String,
    pub expires_in: u64,
    /// What becomes of the next exchanges.
    pub faults: VecDeque<Fault>,
    /// Where the account is; elsewhere than here when it has moved.
    pub domain: Option<String>,
    /// The host in the access token's claims.
    pub api_domain: Option<String>,
    pub requests: Vec<(String, u16)>,
    /// `uniq` of every stored call.
    pub calls: Vec<String>,
    given: u32,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fault {
    /// This status with the gateway's page; nothing is exchanged.
    Page(u16),
    /// The tokens are exchanged and the answer is the gateway's page.
    Lost(u16),
    /// Tokens are refused with this hint.
    Refused(&'static str),
    /// The answer waits for [`FakeOAuth::release`].
    Gate,
}

/// The running fake.
#[derive(Debug)]
pub struct FakeOAuth {
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    pub gate: Arc<Notify>,
    /// Notified when an exchange has begun to wait.
    pub waiting: Arc<Notify>,
}

type Shared = (Arc<Mutex<State>>, Arc<Notify>, Arc<Notify>);

/// Starts listening; the account has a pair already, and a code that was not used.
pub async fn start() -> FakeOAuth {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let addr = listener.local_addr().expect("a bound listener has an address");
    let state = State {
        access: "none".to_owned(),
        refresh: "none".to_owned(),
        code: Some("c0de".to_owned()),
        secret: "s3cret".to_owned(),
        expires_in: 86_400,
        faults: VecDeque::new(),
        domain: None,
        api_domain: None,
        requests: Vec::new(),
        calls: Vec::new(),
        given: 0,
    };
    let state = Arc::new(Mutex::new(state));
    let (gate, waiting) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let shares: Shared = (Arc::clone(&state), Arc::clone(&gate), Arc::clone(&waiting));
    let app = Router::new().fallback(handle).with_state(shares);
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serving ends with the test") });
    FakeOAuth { addr, state, gate, waiting }
}

impl FakeOAuth {
    pub fn base_url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fault(&self, fault: Fault) {
        self.state().faults.push_back(fault);
    }

    /// How often this path was asked.
    pub fn asked(&self, path: &str) -> usize {
        self.state().requests.iter().filter(|(asked, _)| asked == path).count()
    }
}

async fn handle(
    Shares((state, gate, waiting)): Shares<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    let path = uri.path().to_owned();
    let is_exchange = path == "/oauth2/access_token";
    let fault = if is_exchange { lock().faults.pop_front() } else { None };
    if fault == Some(Fault::Gate) {
        waiting.notify_one();
        gate.notified().await;
    }
    let (status, body) = {
        let mut state = lock();
        let answer = match (method.as_str(), path.as_str()) {
            ("POST", "/oauth2/access_token") => exchange(&mut state, &body, fault),
            ("GET", "/oauth2/account/current/subdomain") => domain(&state, &headers),
            ("GET", "/api/v4/account") => account(&state, &headers),
            ("POST", "/api/v4/calls") => calls(&mut state, &headers, &body),
            _ => (404, page()),
        };
        state.requests.push((path, answer.0));
        answer
    };
    (StatusCode::from_u16(status).expect("a status"), body).into_response()
}

fn exchange(state: &mut State, body: &[u8], fault: Option<Fault>) -> (u16, String) {
    if let Some(Fault::Page(status)) = fault {
        return (status, page());
    }
    let asked: Value = serde_json::from_slice(body).unwrap_or_default();
    let is_whole = asked["redirect_uri"] == "https://example.org/" && asked["client_id"] == "id";
    if let Some(Fault::Refused(hint)) = fault {
        return refused(hint);
    }
    if !is_whole || asked["client_secret"] != state.secret.as_str() {
        return refused("Client authentication failed");
    }
    let fits = match asked["grant_type"].as_str() {
        Some("authorization_code") => state.code.take_if(|code| asked["code"] == code.as_str()).is_some(),
        Some("refresh_token") => asked["refresh_token"] == state.refresh.as_str(),
        _ => false,
    };
    if !fits {
        return refused("Token has been revoked");
    }
    state.give();
    if let Some(Fault::Lost(status)) = fault {
        return (status, page());
    }
    let answer = json!({"token_type": "Bearer", "expires_in": state.expires_in, "access_token": state.access,
        "refresh_token": state.refresh});
    (200, answer.to_string())
}

impl State {
    /// Makes the next pair.
    pub fn give(&mut self) {
        self.given += 1;
        self.refresh = format!("def502refresh{}", self.given);
        let claims = json!({"n": self.given, "api_domain": self.api_domain});
        self.access = format!("head.{}.access{}", base64url(claims.to_string().as_bytes()), self.given);
    }
}

fn domain(state: &State, headers: &HeaderMap) -> (u16, String) {
    let asked = headers.get("x-refresh-token").and_then(|value| value.to_str().ok());
    match &state.domain {
        Some(domain) if asked.is_some() => (
            200,
            json!({"id": 1, "subdomain": "new", "domain": domain, "top_level_domain": "ru"}).to_string(),
        ),
        Some(_) | None => (404, page()),
    }
}

fn account(state: &State, headers: &HeaderMap) -> (u16, String) {
    if is_authorized(state, headers) { (200, json!({"id": 28_805_383}).to_string()) } else { unauthorized() }
}

/// Stores every call.
fn calls(state: &mut State, headers: &HeaderMap, body: &[u8]) -> (u16, String) {
    if !is_authorized(state, headers) {
        return unauthorized();
    }
    let calls: Vec<Value> = serde_json::from_slice(body).unwrap_or_default();
    let mut stored = Vec::new();
    for call in calls {
        state.calls.push(call["uniq"].as_str().unwrap_or_default().to_owned());
        stored.push(json!({"id": state.calls.len(), "entity_id": 1, "entity_type": "contact",
            "request_id": call["request_id"]}));
    }
    (200, json!({"_total_items": stored.len(), "errors": [], "_embedded": {"calls": stored}}).to_string())
}

fn is_authorized(state: &State, headers: &HeaderMap) -> bool {
    let bearer = format!("Bearer {}", state.access);
    headers.get(header::AUTHORIZATION).is_some_and(|sent| sent.as_bytes() == bearer.as_bytes())
}

fn unauthorized() -> (u16, String) {
    (401, json!({"title": "Unauthorized", "status": 401, "detail": "Неверный логин или пароль"}).to_string())
}

fn refused(hint: &str) -> (u16, String) {
    let body = json!({"hint": hint, "title": "Некорректный запрос", "status": 401,
        "type": "https://developers.amocrm.ru/v3/errors/OAuthProblemJson",
        "detail": "В запросе отсутствует ряд параметров или параметры невалидны"});
    (401, body.to_string())
}

fn page() -> String {
    "<html><head><title>nginx</title></head></html>".to_owned()
}

fn base64url(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=chunk.len()].copy_from_slice(chunk);
        let word = u32::from_be_bytes(word);
        for place in 0..=chunk.len() {
            let shift = 18 - 6 * u32::try_from(place).expect("at most three");
            text.push(char::from(LETTERS[(word >> shift & 63) as usize]));
        }
    }
    text
}
