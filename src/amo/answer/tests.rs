use super::*;

fn reply(status: u16, body: &str) -> Reply {
    Reply { status, body: body.as_bytes().to_vec(), ..Reply::default() }
}

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|index| index.to_string()).collect()
}

/// One letter for each fate, so that a table fits a screen.
fn letters(fates: &[Fate]) -> String {
    let letter = |fate: &Fate| match fate {
        Fate::Stored { .. } => 'S',
        Fate::NotFound => 'N',
        Fate::Invalid { .. } => 'I',
        Fate::Suspect => 'B',
        Fate::Untouched => 'U',
        Fate::Unclear => '?',
    };
    fates.iter().map(letter).collect()
}

#[track_caller]
fn check(status: u16, body: &str, account: Account, fates: &str) {
    let answer = read(&reply(status, body), &ids(fates.len()));
    assert_eq!((answer.account, letters(&answer.fates).as_str()), (account, fates), "{status} {body}");
}

const HTML: &str = "<html><head><title>403 Forbidden</title></head></html>";
const DOCUMENTED: &str = r#"{"_total_items":1,"errors":[],"_embedded":{"calls":[{"id":37512063,
    "entity_id":11070881,"entity_type":"contact","account_id":28805383,"request_id":"0",
    "_embedded":{"entity":{"id":11070881,"_links":{"self":{"href":"https://x/api/v4/contacts/11070881"}}}}}]}}"#;
const VALIDATION: &str = r#"{"validation-errors":[{"request_id":"1","errors":[{"code":"NotSupportedChoice",
    "path":"created_by","detail":"The value you selected is not a valid choice."}]}],"title":"Bad Request",
    "type":"https://httpstatus.es/400","status":400,"detail":"Request validation failed"}"#;

#[test]
fn the_documented_answer_names_note_and_entity() {
    let answer = read(&reply(200, DOCUMENTED), &ids(1));
    let entity = Some(Entity { kind: "contact".to_owned(), id: 11_070_881 });
    assert_eq!(answer.fates, [Fate::Stored { note_id: Some(37_512_063), entity }]);
    assert_eq!(answer.account, Account::Fine);
}

#[test]
fn a_call_is_stored_when_its_id_is_there_whatever_the_status() {
    for (status, account) in [
        (200, Account::Fine),
        (201, Account::Fine),
        (207, Account::Fine),
        (400, Account::Fine),
        (401, Account::Unauthorized),
        (403, Account::Forbidden),
        (429, Account::TooMany { retry_after: None }),
        (500, Account::ServerTrouble),
        (504, Account::ServerTrouble),
    ] {
        check(status, DOCUMENTED, account, "S");
    }
}

#[test]
fn ids_match_as_text_and_as_numbers() {
    check(
        200,
        r#"{"_embedded":{"calls":[{"id":5,"request_id":0},{"id":6,"request_id":"1"}]}}"#,
        Account::Fine,
        "SS",
    );
    check(
        400,
        r#"{"errors":[{"status":263,"request_id":0},{"status":"263","request_id":"1"}]}"#,
        Account::Fine,
        "NN",
    );
}

#[test]
fn a_note_id_of_any_shape_leaves_the_call_stored() {
    for id in ["null", "\"37\"", "1e300", "-1", "18446744073709551616", "1.5", "{}", "[]", "true"] {
        let body = format!(
            r#"{{"_embedded":{{"calls":[{{"id":{id},"entity_id":{id},"entity_type":null,"request_id":"0"}}]}}}}"#
        );
        check(200, &body, Account::Fine, "S");
    }
}

#[test]
fn a_success_without_a_request_id_of_ours_proves_nothing() {
    for id in ["null", "\"7\"", "7", "true", "\"\"", "[0]", "0.0"] {
        let body = format!(r#"{{"_embedded":{{"calls":[{{"id":5,"request_id":{id}}}]}}}}"#);
        check(200, &body, Account::Fine, "?");
    }
    check(200, r#"{"_embedded":{"calls":[{"id":5}]}}"#, Account::Fine, "?");
}

#[test]
fn an_unknown_number_is_told_by_code_or_by_name() {
    check(
        400,
        r#"{"_total_items":0,"errors":[{"title":"Entity not found","status":263,"request_id":"0"}]}"#,
        Account::Fine,
        "N",
    );
    check(400, r#"{"_total_items":0,"errors":[{"title":"Entity not found"}]}"#, Account::Fine, "N");
    check(400, r#"{"errors":[{"detail":"entity not found ","request_id":"0"}]}"#, Account::Fine, "N");
    check(200, r#"{"errors":[{"code":263,"request_id":"0"}],"_embedded":{"calls":[]}}"#, Account::Fine, "N");
}

#[test]
fn a_mixed_batch_is_read_alike_under_200_and_400() {
    let body = r#"{"_total_items":1,"errors":[{"status":263,"title":"Entity not found","request_id":"1"}],
        "_embedded":{"calls":[{"id":5,"request_id":"0"}]}}"#;
    check(200, body, Account::Fine, "SN");
    check(400, body, Account::Fine, "SN");
    check(400, body, Account::Fine, "SN?");
}

#[test]
fn a_400_with_errors_does_not_mean_that_nothing_is_stored() {
    check(400, r#"{"errors":[{"status":263,"request_id":"1"}]}"#, Account::Fine, "?N?");
}

#[test]
fn unnamed_errors_are_counted() {
    let two =
        r#"{"errors":[{"status":263},{"status":263}],"_embedded":{"calls":[{"id":5,"request_id":"1"}]}}"#;
    check(200, two, Account::Fine, "NSN");
    check(200, two, Account::Fine, "?S??");
    check(200, two, Account::Fine, "?S");
    check(400, r#"{"errors":[{"status":263},{"status":999,"title":"x"}]}"#, Account::Fine, "??");
    check(400, r#"{"errors":[{"status":999,"title":"x"}]}"#, Account::Fine, "I");
    check(400, r#"{"errors":[{"status":263,"request_id":"1"},{"status":263}]}"#, Account::Fine, "NN");
    check(400, r#"{"errors":[{"status":263,"request_id":"not ours"}]}"#, Account::Fine, "N");
}

#[test]
fn a_wrong_user_is_never_taken_for_an_unknown_number() {
    let body = r#"{"errors":[{"status":404,"title":"User not found","request_id":"0"}]}"#;
    let answer = read(&reply(400, body), &ids(1));
    let expected = Fate::Invalid { code: "404".into(), path: String::new(), detail: "User not found".into() };
    assert_eq!(answer.fates, [expected]);
}

#[test]
fn success_outweighs_an_error_for_the_same_call() {
    let body =
        r#"{"errors":[{"status":263,"request_id":"0"}],"_embedded":{"calls":[{"id":5,"request_id":"0"}]}}"#;
    check(400, body, Account::Fine, "S");
}

#[test]
fn validation_errors_refuse_the_request_as_a_whole() {
    check(400, VALIDATION, Account::Fine, "UIU");
    let answer = read(&reply(400, VALIDATION), &ids(2));
    let expected = Fate::Invalid {
        code: "NotSupportedChoice".into(),
        path: "created_by".into(),
        detail: "The value you selected is not a valid choice.".into(),
    };
    assert_eq!(answer.fates[1], expected);
    assert_eq!(answer.words, "HTTP 400: Bad Request: Request validation failed");
}

#[test]
fn validation_errors_that_name_none_of_ours_blame_the_only_call_or_split_the_batch() {
    let unnamed = r#"{"validation-errors":[{"errors":[{"code":"NotBlank","path":"0.phone"}]}],"status":400}"#;
    check(400, unnamed, Account::Fine, "I");
    check(400, unnamed, Account::Fine, "BBB");
    check(400, r#"{"validation-errors":{"0":{"request_id":0,"errors":[]}}}"#, Account::Fine, "IU");
}

#[test]
fn validation_errors_beside_stored_calls_prove_nothing_for_the_others() {
    let body = r#"{"validation-errors":[{"request_id":"1","errors":[]}],"_embedded":{"calls":[{"id":5,"request_id":"0"}]}}"#;
    check(400, body, Account::Fine, "S??");
}

#[test]
fn what_amocrm_did_not_read_may_be_sent_again() {
    check(
        401,
        r#"{"title":"Unauthorized","status":401,"detail":"Неверный логин или пароль"}"#,
        Account::Unauthorized,
        "UU",
    );
    check(401, "", Account::Unauthorized, "UU");
    check(402, r#"{"title":"Payment Required","status":402}"#, Account::Unpaid, "UU");
    check(402, HTML, Account::Unpaid, "UU");
    check(403, HTML, Account::Banned, "UU");
    check(403, "", Account::Banned, "UU");
    check(429, HTML, Account::TooMany { retry_after: None }, "UU");
}

#[test]
fn a_403_of_the_application_leaves_the_outcome_open() {
    check(403, r#"{"title":"Forbidden","status":403}"#, Account::Forbidden, "??");
}

#[test]
fn a_400_about_money_holds_the_account() {
    check(
        400,
        r#"{"title":"Bad Request","status":400,"detail":"Код ошибки 244. Нет прав"}"#,
        Account::Unpaid,
        "??",
    );
    check(400, r#"{"title":"Bad Request","detail":"Payment Required"}"#, Account::Unpaid, "?");
    check(400, r#"{"title":"Bad Request","detail":"ошибка 2440"}"#, Account::Fine, "?");
    check(400, r#"{"detail":"244","errors":[{"status":263,"request_id":"0"}]}"#, Account::Fine, "N");
}

#[test]
fn a_refusal_without_names_leaves_the_outcome_open() {
    check(400, r#"{"title":"Bad Request","status":400,"detail":"Invalid JSON"}"#, Account::Fine, "??");
    check(413, "", Account::Fine, "??");
    check(422, r#"{"title":"Unprocessable"}"#, Account::Fine, "??");
    check(400, "", Account::Fine, "?");
}

#[test]
fn server_trouble_leaves_the_outcome_open() {
    for status in [500, 502, 503, 504, 520, 599, 0, 999] {
        check(status, "<html>502 Bad Gateway</html>", Account::ServerTrouble, "??");
        check(status, "", Account::ServerTrouble, "?");
        check(status, r#"{"title":"Internal Server Error"}"#, Account::ServerTrouble, "?");
    }
}

#[test]
fn an_answer_from_somebody_else_is_recognised() {
    for status in [301, 302, 308, 404, 405] {
        check(status, HTML, Account::NotAmo, "?");
        check(status, r#"{"title":"Not Found","status":404}"#, Account::NotAmo, "?");
    }
    check(200, "<!DOCTYPE html><html>please log in</html>", Account::NotAmo, "?");
    check(418, HTML, Account::NotAmo, "?");
}

#[test]
fn a_200_that_cannot_be_read_is_never_a_success() {
    let cut = DOCUMENTED.trim_end().strip_suffix('}').unwrap();
    for body in ["", " ", cut, "null", "[]", "\"ok\"", "ok", "\u{0}\u{1}", "{", "[{\"request_id\":\"0\"}]"] {
        check(200, body, Account::ServerTrouble, "?");
    }
    check(204, "", Account::Fine, "?");
}

#[test]
fn a_body_of_the_wrong_shapes_is_read_as_far_as_it_goes() {
    for body in [
        "{}",
        r#"{"_embedded":null,"errors":null}"#,
        r#"{"_embedded":[],"errors":{}}"#,
        r#"{"_embedded":{"calls":null},"errors":"no"}"#,
        r#"{"_embedded":{"calls":{"a":1}},"errors":[]}"#,
        r#"{"_embedded":{"calls":[null,1,"x",[]]}}"#,
        r#"{"_total_items":99999999999999999999999}"#,
    ] {
        check(200, body, Account::Fine, "?");
    }
    check(200, r#"{"errors":[null,1,"x"]}"#, Account::Fine, "??");
    check(200, &format!("{}1{}", "[".repeat(5000), "]".repeat(5000)), Account::ServerTrouble, "?");
}

#[test]
fn any_bytes_give_as_many_fates_as_calls() {
    let whole = DOCUMENTED.as_bytes();
    for status in [200, 400, 401, 403, 429, 500] {
        for end in 0..whole.len() {
            let cut = Reply { status, body: whole[..end].to_vec(), ..Reply::default() };
            let answer = read(&cut, &ids(3));
            assert_eq!(answer.fates.len(), 3);
            assert!(!letters(&answer.fates).contains('S'), "half an answer is none");
        }
    }
}

#[test]
fn retry_after_is_taken_from_header_or_body() {
    let header = Reply { retry_after: Some(Duration::from_secs(7)), ..reply(429, HTML) };
    assert_eq!(read(&header, &[]).account, Account::TooMany { retry_after: Some(Duration::from_secs(7)) });
    check(429, r#"{"retry_after":300}"#, Account::TooMany { retry_after: Some(Duration::from_mins(5)) }, "U");
}

#[test]
fn words_are_one_short_line() {
    let long = format!(r#"{{"title":"a\nb","detail":"{}"}}"#, "я".repeat(5000));
    let answer = read(&reply(500, &long), &ids(1));
    assert!(answer.words.starts_with("HTTP 500: a b: яя"), "{}", answer.words);
    assert!(answer.words.chars().count() < 220);
    assert_eq!(read(&reply(502, HTML), &ids(1)).words, "HTTP 502: a page instead of an answer");
    assert_eq!(read(&reply(500, ""), &ids(1)).words, "HTTP 500: empty body");
    let not_found = r#"{"errors":[{"status":263,"title":"Entity not found"}]}"#;
    assert_eq!(read(&reply(400, not_found), &ids(1)).words, "HTTP 400: Entity not found");
}

#[test]
fn a_gateways_refusal_beside_a_stored_call_proves_nothing_for_the_others() {
    check(429, DOCUMENTED, Account::TooMany { retry_after: None }, "S??");
    check(401, DOCUMENTED, Account::Unauthorized, "S?");
}

#[test]
fn validation_errors_under_a_server_error_prove_nothing() {
    check(500, VALIDATION, Account::ServerTrouble, "???");
}

#[test]
fn errors_beside_a_status_that_judges_no_call_bury_none() {
    for error in [
        r#"{"title":"Unavailable"}"#,
        r#"{"title":"x","request_id":"0"}"#,
        r#"{"status":263,"request_id":"0"}"#,
    ] {
        let errors = format!(r#"{{"errors":[{error}]}}"#);
        let validation = format!(r#"{{"validation-errors":[{error}]}}"#);
        for body in [&errors, &validation] {
            check(401, body, Account::Unauthorized, "U");
            check(402, body, Account::Unpaid, "U");
            check(429, body, Account::TooMany { retry_after: None }, "U");
            check(403, body, Account::Forbidden, "?");
            check(404, body, Account::NotAmo, "?");
            check(408, body, Account::Fine, "?");
            for status in [500, 502, 503, 504] {
                check(status, body, Account::ServerTrouble, "?");
            }
        }
    }
}

#[test]
fn an_answer_that_refuses_some_of_several_calls_is_evidence() {
    let has = |status, body: &str, calls| read(&reply(status, body), &ids(calls)).evidence.is_some();
    let mixed =
        r#"{"errors":[{"status":263,"request_id":"1"}],"_embedded":{"calls":[{"id":5,"request_id":"0"}]}}"#;
    let bare = r#"{"errors":[{"title":"Entity not found"}]}"#;
    for body in [mixed, bare] {
        for status in [200, 400] {
            assert!(has(status, body, 2));
            assert!(!has(status, body, 1), "it refuses all there is");
        }
        assert!(!has(503, body, 2), "it is no judgement");
    }
    assert!(!has(200, DOCUMENTED, 2));
    assert!(!has(400, VALIDATION, 3), "that is documented");
}

/// Each row of what is known of amoCRM's errors, by what it stands for.
#[test]
fn every_known_answer_has_its_meaning() {
    let problem = |status: u16, detail: &str| {
        format!(
            r#"{{"title":"Problem","type":"https://httpstatus.es/{status}","status":{status},"detail":"{detail}"}}"#
        )
    };
    let missing = r#"{"validation-errors":[{"request_id":"0","errors":[{"code":"FieldMissing","path":"direction",
        "detail":"This field is missing."}]}],"status":400}"#;
    for code in ["FieldMissing", "NotNullable", "NotBlank", "FieldNotExpected", "NotSupportedChoice"] {
        check(400, &missing.replace("FieldMissing", code), Account::Fine, "IU");
    }
    check(400, &problem(400, "Код ошибки 244. Нет прав"), Account::Unpaid, "??");
    check(400, &problem(400, "Payment Required"), Account::Unpaid, "??");
    check(401, &problem(401, "Неверный логин или пароль"), Account::Unauthorized, "UU");
    check(402, &problem(402, ""), Account::Unpaid, "UU");
    check(403, HTML, Account::Banned, "UU");
    check(403, &problem(403, "Код ошибки 113. Доступ с этого адреса запрещён"), Account::Forbidden, "??");
    check(404, &problem(404, "Not Found"), Account::NotAmo, "??");
    check(405, &problem(405, "Method Not Allowed"), Account::NotAmo, "??");
    check(429, HTML, Account::TooMany { retry_after: None }, "UU");
    for status in [500, 502, 503, 504] {
        check(status, HTML, Account::ServerTrouble, "??");
    }
    check(204, "", Account::Fine, "??");
}
