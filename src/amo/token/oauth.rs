//! Pure: the requests to amoCRM's token end point, and what its answers mean.

use serde_json::{Value, json};

use crate::amo::answer::{self, Reply, json_object};
use crate::amo::settings::oauth::OAuth;
use crate::amo::token::Token;
use crate::time::HostTime;

/// Where tokens are given out, below the account's address.
pub const TOKEN_PATH: &str = "/oauth2/access_token";
/// Where the account's address is told to who has its refresh token, below the address that the
/// access token names.
pub const DOMAIN_PATH: &str = "/oauth2/account/current/subdomain";
/// The header of that question.
pub const REFRESH_HEADER: &str = "x-refresh-token";

/// What is given for tokens.
#[derive(Clone, Copy, Debug)]
pub enum Grant<'a> {
    /// What a person gets when he lets the integration into the account: works for 20 minutes, once.
    Code(&'a Token),
    /// Works once.
    Refresh(&'a Token),
}

/// What the token end point said.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Given {
    Pair {
        access: Token,
        refresh: Token,
        expires_in_s: u64,
    },
    /// What was given for tokens is worth nothing, now and later.
    Refused(String),
    /// No account is at this address; it may have moved.
    NotHere(String),
    /// It was not processed; later it may work.
    Later(String),
    /// It may have been processed, and what came back is lost.
    Lost(String),
}

/// Claims of an access token, which is a JWT. Nothing is verified: amoCRM said it to us over TLS,
/// and what is concluded from it is checked where it is used.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    pub expires_at: Option<HostTime>,
    /// The host that knows where the account is.
    pub api_domain: Option<String>,
    pub account_id: Option<u64>,
}

/// Shortest life of an access token that is believed, in seconds: one of 0 would be exchanged for ever.
const LIFE_MIN_S: u64 = 5;
/// The life of one that does not say it, in seconds.
const LIFE_UNSAID_S: u64 = 3600;
/// Longest, in seconds: a month. amoCRM gives a day.
const LIFE_MAX_S: u64 = 31 * 24 * 3600;

/// The body of a request for tokens.
pub fn body(app: &OAuth, secret: &Token, grant: Grant<'_>) -> Vec<u8> {
    let (kind, key, value) = match grant {
        Grant::Code(code) => ("authorization_code", "code", code),
        Grant::Refresh(refresh) => ("refresh_token", "refresh_token", refresh),
    };
    let mut body = json!({
        "client_id": app.client_id.as_str(),
        "client_secret": secret.expose(),
        "grant_type": kind,
        "redirect_uri": app.redirect_uri,
    });
    body[key] = Value::from(value.expose());
    body.to_string().into_bytes()
}

/// Reads the answer to a request for tokens.
pub fn read(reply: &Reply) -> Given {
    let json = json_object(&reply.body);
    let words = || words(reply, json.as_ref());
    match (reply.status, &json) {
        (200..=299, Some(body)) => pair(body).unwrap_or_else(|| Given::Lost(words())),
        (200..=299, None) => Given::Lost(words()),
        (400 | 401, Some(_)) => Given::Refused(words()),
        (404, _) => Given::NotHere(words()),
        (500.., _) => Given::Lost(words()),
        _ => Given::Later(words()),
    }
}

/// Reads the answer to the question where the account is: its host.
pub fn read_domain(reply: &Reply) -> Option<String> {
    let body = json_object(&reply.body).filter(|_| (200..=299).contains(&reply.status))?;
    body.get("domain").and_then(Value::as_str).map(str::to_owned)
}

/// Reads the claims of a token; what is not there stays empty.
pub fn claims(token: &Token) -> Claims {
    let payload = token.expose().split('.').nth(1).and_then(base64url);
    let Some(body) = payload.as_deref().and_then(json_object) else { return Claims::default() };
    let seconds = body.get("exp").and_then(Value::as_i64);
    Claims {
        expires_at: seconds.map(|seconds| HostTime::from_micros(seconds.saturating_mul(1_000_000))),
        api_domain: body.get("api_domain").and_then(Value::as_str).map(str::to_owned),
        account_id: answer::id_of(body.get("account_id")),
    }
}

fn pair(body: &Value) -> Option<Given> {
    let token = |key| Token::parse(body.get(key)?.as_str()?).ok();
    let seconds = answer::id_of(body.get("expires_in")).unwrap_or(LIFE_UNSAID_S);
    Some(Given::Pair {
        access: token("access_token")?,
        refresh: token("refresh_token")?,
        expires_in_s: seconds.clamp(LIFE_MIN_S, LIFE_MAX_S),
    })
}

/// What was said, the hint first: it alone tells a token that is spent from one that never was.
/// Nothing of a 2xx is repeated: it may hold a token.
fn words(reply: &Reply, json: Option<&Value>) -> String {
    if (200..=299).contains(&reply.status) {
        return format!("HTTP {}: an answer without a pair of tokens", reply.status);
    }
    let hint = json.and_then(|body| body.get("hint").or_else(|| body.get("error"))?.as_str());
    match hint {
        Some(hint) => format!("HTTP {}: {}", reply.status, answer::tidy(hint)),
        None => answer::words(reply, json),
    }
}

/// The bytes of a text in base64url, with or without padding.
fn base64url(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count).to_le_bytes()[0]);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }
    }

    fn token(text: &str) -> Token {
        Token::parse(text).unwrap()
    }

    #[track_caller]
    fn check(status: u16, body: &str, expected: &Given) {
        assert_eq!(read(&reply(status, body)), *expected, "{status} {body}");
    }

    const REVOKED: &str = r#"{"hint":"Token has been revoked","title":"Некорректный запрос",
        "type":"https://developers.amocrm.ru/v3/errors/OAuthProblemJson","status":401,
        "detail":"В запросе отсутствует ряд параметров или параметры невалидны"}"#;
    const HTML: &str = "<html><title>403 Forbidden</title></html>";

    #[test]
    fn the_documented_answer_is_a_pair() {
        let body = r#"{"token_type":"Bearer","expires_in":86400,"access_token":"a.b.c","refresh_token":"def502",
            "server_time":1795338791}"#;
        let pair = Given::Pair { access: token("a.b.c"), refresh: token("def502"), expires_in_s: 86_400 };
        check(200, body, &pair);
        check(201, &body.replace("86400", "\"86400\""), &pair);
    }

    #[test]
    fn a_life_that_cannot_be_is_taken_for_a_short_or_a_long_one() {
        let life = |expires: &str| {
            let body = format!(r#"{{"expires_in":{expires},"access_token":"a","refresh_token":"r"}}"#);
            let Given::Pair { expires_in_s, .. } = read(&reply(200, &body)) else { panic!("{body}") };
            expires_in_s
        };
        assert_eq!(["0", "-5", "null", "1e9", "99999999999"].map(life), [5, 3600, 3600, 3600, 2_678_400]);
    }

    #[test]
    fn a_spent_token_is_refused_for_good() {
        check(401, REVOKED, &Given::Refused("HTTP 401: Token has been revoked".to_owned()));
        check(400, REVOKED, &Given::Refused("HTTP 400: Token has been revoked".to_owned()));
        let grant = r#"{"error":"invalid_grant","error_description":"x"}"#;
        check(400, grant, &Given::Refused("HTTP 400: invalid_grant".to_owned()));
        let expired = r#"{"hint":"Authorization code has expired","status":400}"#;
        check(400, expired, &Given::Refused("HTTP 400: Authorization code has expired".to_owned()));
    }

    #[test]
    fn what_the_gateway_says_is_not_about_the_token() {
        let page = |status| format!("HTTP {status}: a page instead of an answer");
        for status in [400, 401, 402, 403, 429, 302] {
            check(status, HTML, &Given::Later(page(status)));
        }
        check(404, HTML, &Given::NotHere(page(404)));
    }

    #[test]
    fn what_may_have_been_processed_is_lost() {
        for status in [500, 502, 503, 504] {
            check(status, HTML, &Given::Lost(format!("HTTP {status}: a page instead of an answer")));
        }
        for body in
            ["", "{", "<html>", "[]", r#"{"access_token":"a"}"#, r#"{"access_token":"","refresh_token":"r"}"#]
        {
            check(200, body, &Given::Lost("HTTP 200: an answer without a pair of tokens".to_owned()));
        }
    }

    #[test]
    fn words_of_a_success_hold_no_token() {
        let Given::Lost(words) = read(&reply(200, r#"{"access_token":"secret","title":"secret"}"#)) else {
            panic!("it is no pair")
        };
        assert!(!words.contains("secret"), "{words}");
    }

    #[test]
    fn the_request_is_as_documented() {
        let app = OAuth {
            client_id: "id".to_owned().try_into().unwrap(),
            client_secret: None,
            client_secret_file: None,
            redirect_uri: "https://example.org/".to_owned(),
        };
        let (secret, code, refresh) = (token("s3"), token("c0de"), token("def502"));
        let read = |grant| serde_json::from_slice::<Value>(&body(&app, &secret, grant)).unwrap();
        assert_eq!(
            read(Grant::Code(&code)),
            json!({"client_id": "id", "client_secret": "s3", "grant_type": "authorization_code",
                "code": "c0de", "redirect_uri": "https://example.org/"})
        );
        assert_eq!(
            read(Grant::Refresh(&refresh)),
            json!({"client_id": "id", "client_secret": "s3", "grant_type": "refresh_token",
                "refresh_token": "def502", "redirect_uri": "https://example.org/"})
        );
    }

    #[test]
    fn the_claims_of_a_token_are_read() {
        // {"aud":"x","exp":1795425191,"account_id":28805383,"api_domain":"api-b.amocrm.ru"}
        let text = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4IiwiZXhwIjoxNzk1NDI1MTkxLCJhY2NvdW50X2lkIjoyODgwNTM4MywiYXBpX2RvbWFpbiI6ImFwaS1iLmFtb2NybS5ydSJ9.sig";
        let found = claims(&token(text));
        assert_eq!(found.expires_at, Some(HostTime::from_micros(1_795_425_191_000_000)));
        assert_eq!(found.api_domain.as_deref(), Some("api-b.amocrm.ru"));
        assert_eq!(found.account_id, Some(28_805_383));
        for none in ["a", "a.b", "a.!!.c", "a.e30.c"] {
            assert_eq!(claims(&token(none)), Claims::default(), "{none}");
        }
    }

    #[test]
    fn the_accounts_address_is_read_from_a_good_answer_only() {
        let body = r#"{"id":1,"subdomain":"new","domain":"new.amocrm.ru","top_level_domain":"ru"}"#;
        assert_eq!(read_domain(&reply(200, body)).as_deref(), Some("new.amocrm.ru"));
        assert_eq!(read_domain(&reply(401, body)), None);
        assert_eq!(read_domain(&reply(200, "{}")), None);
    }
}
