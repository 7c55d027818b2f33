use super::*;

fn settings(toml: &str) -> Settings {
    let value: serde_json::Value = serde_json::from_str(toml).unwrap();
    serde_json::from_value(value).unwrap()
}

fn url(text: &str) -> Result<BaseUrl, Error> {
    BaseUrl::try_from(text.to_owned())
}

#[test]
fn a_base_url_is_scheme_and_host() {
    for good in [
        "https://example.amocrm.ru",
        "https://example.kommo.com/",
        "http://127.0.0.1:8080",
        "http://[::1]:80",
    ] {
        assert!(url(good).is_ok(), "{good}");
    }
    for bad in [
        "",
        "example.amocrm.ru",
        "ftp://example.amocrm.ru",
        "https://",
        "https://example.amocrm.ru/api/v4",
        "https://user:secret@example.amocrm.ru",
        "https://example.amocrm.ru?x",
        "https://example.amocrm.ru:port",
        "https://[::1",
        "https://a b",
    ] {
        assert_eq!(url(bad), Err(Error::BaseUrl(bad.to_owned())), "{bad}");
    }
}

#[test]
fn loopback_is_told_from_the_world() {
    for near in ["http://localhost:1", "http://127.0.0.1:1", "http://127.8.9.1", "http://[::1]"] {
        assert!(url(near).unwrap().is_loopback(), "{near}");
    }
    for far in ["http://10.0.0.1", "http://localhost.example.org", "http://127.0.0.1.nip.io"] {
        assert!(!url(far).unwrap().is_loopback(), "{far}");
    }
}

#[test]
fn the_token_travels_encrypted_or_not_at_all() {
    let mut settings = settings(r#"{"base-url":"http://10.0.0.1"}"#);
    assert_eq!(settings.check(), Err(Error::PlainHttp("http://10.0.0.1".to_owned())));
    settings.allow_plain_http = true;
    assert!(settings.check().is_ok());
}

#[test]
fn the_pace_exceeds_amocrms_limit_towards_loopback_only() {
    let near = settings(r#"{"base-url":"http://127.0.0.1:1","requests-per-second":100}"#);
    assert!(near.check().is_ok());
    let far = settings(r#"{"base-url":"https://a.amocrm.ru","requests-per-second":8}"#);
    assert_eq!(far.check(), Err(Error::Pace(8)));
    let none = settings(r#"{"base-url":"http://127.0.0.1:1","requests-per-second":0}"#);
    assert_eq!(none.check(), Err(Error::Pace(0)));
}

#[test]
fn the_documented_table_is_understood() {
    let settings = settings(
        r#"{"base-url":"https://example.amocrm.ru","token-file":"/run/token","requests-per-second":5,
            "default-user":504141,"users":{"101":504142},"language":"en","connect-timeout":"3s",
            "results":{"no-answer":"Не дозвонились"},"recording-url":"https://pbx/rec/{file}"}"#,
    );
    assert!(settings.check().is_ok());
    let named: Vec<_> = settings.named_users().collect();
    assert_eq!(named, [("101", 504_142), ("default-user", 504_141)]);
}

#[test]
fn what_belongs_to_the_connection_is_named_and_kept() {
    let old = settings(r#"{"base-url":"https://a.amocrm.ru","token":"t","default-user":1}"#);
    let new = settings(
        r#"{"base-url":"https://b.amocrm.ru","token-file":"/t","requests-per-second":3,"connect-timeout":"1s",
            "request-timeout":"1s","allow-plain-http":true,"default-user":2,"source":"x"}"#,
    );
    let keys = new.connection_differences(&old);
    assert_eq!(
        keys,
        [
            "base-url",
            "token-file",
            "token",
            "requests-per-second",
            "connect-timeout",
            "request-timeout",
            "allow-plain-http"
        ]
    );
    let kept = new.with_connection_of(&old);
    assert_eq!(kept.connection_differences(&old), [""; 0]);
    assert_eq!((kept.default_user, kept.source.as_str()), (Some(2), "x"));
}

#[test]
fn unknown_keys_are_refused() {
    assert!(serde_json::from_str::<Settings>(r#"{"base-utl":"https://example.amocrm.ru"}"#).is_err());
}

#[test]
fn a_token_in_the_settings_is_never_shown() {
    let settings = settings(r#"{"token":"very.secret"}"#);
    assert!(!format!("{settings:?}").contains("secret"));
    assert!(!serde_json::to_string(&settings).unwrap().contains("secret"));
}

#[test]
fn a_bad_token_in_the_settings_is_refused_without_being_shown() {
    let settings = settings(r#"{"base-url":"https://a.amocrm.ru","token":"very secret"}"#);
    let error = settings.check().unwrap_err();
    assert_eq!(error, Error::Token(token::Error::NotPlain));
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[cfg(feature = "daemon")]
#[test]
fn the_table_is_read_from_toml() {
    let settings: Settings = toml::from_str(
        "base-url = \"https://example.amocrm.ru\"\nrequest-timeout = \"45s\"\n\
         [users]\n101 = 504141\n[results]\nno-answer = \"Не дозвонились\"\n",
    )
    .unwrap();
    assert_eq!(settings.users["101"], 504_141);
    let words = serde_json::to_value(&settings.results).unwrap();
    assert_eq!(words, serde_json::json!({"no-answer": "Не дозвонились"}));
    assert_eq!(settings.request_timeout, Span::from_secs(45));
}

#[test]
fn a_source_is_never_blank() {
    assert!(serde_json::from_str::<Settings>(r#"{"source":" "}"#).is_err());
    assert!(serde_json::from_str::<Settings>(r#"{"source":"АТС"}"#).is_ok());
}

#[test]
fn an_account_has_a_token_or_an_integration() {
    let oauth = |more: &str| {
        format!(
            r#"{{"base-url":"https://a.amocrm.ru","oauth":{{"client-id":"id","redirect-uri":"https://e.org"{more}}}}}"#
        )
    };
    let check = |text: &str| serde_json::from_str::<Settings>(text).unwrap().check().map(drop);
    assert_eq!(check(&oauth(r#","client-secret-file":"/s""#)), Ok(()));
    assert_eq!(check(&oauth(r#","client-secret":"s3""#)), Ok(()));
    assert_eq!(check(&oauth("")), Err(Error::NoClientSecret));
    let both = oauth(r#","client-secret":"s3","client-secret-file":"/s""#);
    assert_eq!(check(&both), Err(Error::TwoClientSecrets));
    let beside = oauth(r#","client-secret":"s3""#).replacen('{', r#"{"token":"t","#, 1);
    assert_eq!(check(&beside), Err(Error::TwoWays("token")));
    let uri = oauth(r#","client-secret":"s3""#).replace("https://e.org", "e.org");
    assert_eq!(check(&uri), Err(Error::RedirectUri("e.org".to_owned())));
}

#[test]
fn a_secret_key_and_a_proxys_password_are_never_shown() {
    let text = r#"{"proxy":"http://me:hidden@proxy:3128/","oauth":{"client-id":"id","redirect-uri":"https://e.org",
        "client-secret":"hidden"}}"#;
    let settings: Settings = serde_json::from_str(text).unwrap();
    assert_eq!(settings.proxy.as_ref().unwrap().expose(), "http://me:hidden@proxy:3128");
    let said = format!("{settings:?} {}", serde_json::to_string(&settings).unwrap());
    assert!(!said.contains("hidden") && said.contains("http://…@proxy:3128"), "{said}");
    for wrong in ["me:hidden@proxy", "http://me:hidden@pro xy", "socks://me:hidden@proxy", "http://"] {
        let text = format!(r#"{{"base-url":"https://a.amocrm.ru","proxy":"{wrong}"}}"#);
        let error = serde_json::from_str::<Settings>(&text).unwrap().check().unwrap_err();
        assert!(matches!(error, Error::Proxy(_)), "{error}");
        assert!(!error.to_string().contains("hidden"), "{error}");
    }
}

#[test]
fn a_token_goes_to_amocrms_own_hosts_only() {
    let url = |text: &str| BaseUrl::try_from(text.to_owned()).unwrap();
    let sibling = |from: &str, host: &str| url(from).sibling(host).map(String::from);
    let amo = "https://old.amocrm.ru";
    for host in ["api-b.amocrm.ru", "new.kommo.com", "New.AMOCRM.com"] {
        assert_eq!(sibling(amo, host), Some(format!("https://{host}")));
        assert_eq!(sibling("https://crm.example.org", host), Some(format!("https://{host}")));
    }
    for host in
        ["evil.org", "amocrm.ru.evil.org", "evilamocrm.ru", "a.amocrm.ru/x", "a@b.amocrm.ru", "", "127.0.0.1"]
    {
        assert_eq!(sibling(amo, host), None, "{host}");
    }
    assert_eq!(sibling("http://127.0.0.1:1", "127.0.0.2:2"), Some("http://127.0.0.2:2".to_owned()));
    assert_eq!(sibling("http://127.0.0.1:1", "new.amocrm.ru"), None, "it would travel unencrypted");
}
