use super::*;

#[track_caller]
fn check(rules: &Rules, raw: &str, expected: &str) {
    let (number, steps) = apply(raw, Direction::Inbound, rules);
    let have = number.e164.clone().unwrap_or_else(|| number.digits.clone());
    assert_eq!(have, expected, "{raw}: {steps:?}");
    if let Some(last) = steps.last() {
        assert_eq!(last.result.trim_start_matches('+'), number.digits, "the last step is the result");
    }
}

#[test]
fn russia_is_known_without_configuration() {
    let russia = Rules::default();
    for raw in
        ["+79161234567", "89161234567", "79161234567", "9161234567", "+7 (916) 123-45-67", "0079161234567"]
    {
        check(&russia, raw, "+79161234567");
    }
    check(&russia, "88005553535", "+78005553535");
    check(&russia, "810442071234567", "+442071234567");
    check(&russia, "+442071234567", "+442071234567");
    check(&russia, "380441234567", "+380441234567");
    check(&russia, "1234567", "1234567");
    check(&Rules { area: "495".to_owned(), ..russia }, "1234567", "+74951234567");
}

#[test]
fn another_country_is_configured() {
    let germany = Rules {
        country: "49".to_owned(),
        area: "30".to_owned(),
        national_prefix: "0".to_owned(),
        international_prefix: "00".to_owned(),
        national_digits: 10,
        rule: Vec::new(),
    };
    check(&germany, "03012345678", "+493012345678");
    check(&germany, "12345678", "+493012345678");
    check(&germany, "0079161234567", "+79161234567");
    let as_it_is = Rules { country: String::new(), ..Rules::default() };
    check(&as_it_is, "89161234567", "89161234567");
    check(&as_it_is, "+7 916 123 45 67", "+79161234567");
}

#[test]
fn pauses_and_what_follows_them_are_no_number() {
    check(&Rules::default(), "89161234567,,123", "+79161234567");
    check(&Rules::default(), "89161234567w1", "+79161234567");
}

#[test]
fn rules_are_applied_in_their_order() {
    let rules: Rules = toml::from_str(
        "[[rule]]\npattern = \"^9(\\\\d{10,})$\"\nreplace = \"$1\"\n\
         [[rule]]\npattern = \"^\\\\*67\"\nreplace = \"\"\n\
         [[rule]]\npattern = \"^2(\\\\d{3})$\"\nreplace = \"+7495123$1\"\ndirection = \"outbound\"\n",
    )
    .unwrap();
    check(&rules, "989161234567", "+79161234567");
    let (number, steps) = apply("2001", Direction::Outbound, &rules);
    assert_eq!(number.digits, "7495123001");
    assert_eq!(steps, [Step { what: What::Rule(2), result: "+7495123001".to_owned() }]);
    assert_eq!(apply("2001", Direction::Inbound, &rules).0.digits, "2001");
}

#[test]
fn a_masked_number_shows_its_last_digits_and_never_all_of_them() {
    let pairs = [
        ("79161234568", "…4568"),
        ("+7 916 123-45-68", "…4568"),
        ("7916123\r\n\u{1b}[8", "…1238"),
        ("1234567", "…567"),
        ("12", "…2"),
        ("", "…"),
    ];
    for (number, shown) in pairs {
        assert_eq!(masked(number), shown);
    }
}

#[test]
fn service_numbers_and_nameless_callers_are_told_apart() {
    let skip = |raw| subscriber(raw, Direction::Inbound, &Rules::default()).map(|number| number.digits);
    assert_eq!(skip(Some("112")), Err(Skip::ShortNumber));
    assert_eq!(skip(Some("anonymous")), Err(Skip::Anonymous));
    assert_eq!(skip(None), Err(Skip::Anonymous));
    assert_eq!(skip(Some("89161234567")), Ok("79161234567".to_owned()));
}
