use super::*;

#[test]
fn facts_beat_the_shape_of_a_name() {
    let mut sides = Sides::default();
    let numeric_trunk = sides.intern("PJSIP/100234-00000001");
    assert_eq!(sides.verdict(numeric_trunk).side, Side::Inside);
    sides.called_in(numeric_trunk, Some("79161234567"), "74957000101", "ctx");
    let verdict = sides.verdict(numeric_trunk);
    assert_eq!((verdict.side, verdict.evidence), (Side::Outside, Evidence::ForeignCaller));
    assert!(verdict.weak, "one foreign number against a name");
}

#[test]
fn a_device_that_calls_with_its_own_number_is_inside() {
    let mut sides = Sides::default();
    let phone = sides.intern("PJSIP/101-00000001");
    sides.called_in(phone, Some("101"), "89161234567", "whatever");
    assert_eq!(sides.verdict(phone), Verdict::certain(Side::Inside, Evidence::OwnNumber));
}

#[test]
fn nothing_seen_is_unknown() {
    let mut sides = Sides::default();
    let endpoint = sides.intern("PJSIP/alice-00000001");
    assert_eq!(sides.verdict(endpoint).side, Side::Unknown);
}

#[test]
fn one_endpoint_too_many_is_unknown_and_spoils_no_other() {
    let mut sides = Sides::default();
    for number in 0..ENDPOINTS_MAX {
        sides.intern(&format!("PJSIP/peer{number}x"));
    }
    let (first, over) = (sides.intern("PJSIP/peer0x"), sides.intern("PJSIP/101-00000001"));
    sides.add(over, Evidence::NumberDialled);
    sides.called_in(over, Some("79161234567"), "s", "from-trunk");
    assert_eq!(sides.verdict(over).side, Side::Unknown);
    assert_eq!(sides.verdict(first).side, Side::Unknown);
}

#[test]
fn a_hint_names_the_extension() {
    let mut sides = Sides::default();
    sides.hint("101", "PJSIP/alice&Custom:DND101");
    let endpoint = sides.intern("PJSIP/alice-00000001");
    assert_eq!((sides.verdict(endpoint).side, sides.extension(endpoint, None)), (Side::Inside, "101"));
}

#[test]
fn a_gateway_with_a_hint_is_a_trunk_once_a_number_went_out_through_it() {
    let mut sides = Sides::default();
    sides.hint("200", "PJSIP/200");
    let gateway = sides.intern("PJSIP/200-00000001");
    assert_eq!(sides.verdict(gateway).side, Side::Inside);
    sides.add(gateway, Evidence::DialledByName);
    sides.add(gateway, Evidence::NumberDialled);
    let verdict = sides.verdict(gateway);
    assert_eq!((verdict.side, verdict.weak), (Side::Outside, false));
}

#[test]
fn an_extension_that_shows_its_direct_number_is_inside() {
    let mut sides = Sides::default();
    let phone = sides.intern("PJSIP/101-00000001");
    sides.called_in(phone, Some("74957000101"), "102", "ctx");
    assert_eq!(sides.verdict(phone).side, Side::Inside);
    let phone = sides.intern("PJSIP/103-00000002");
    sides.called_in(phone, Some("74957000100"), "89161234567", "ctx");
    sides.add(phone, Evidence::DialledOut);
    assert_eq!(sides.verdict(phone).side, Side::Inside);
}

#[test]
fn second_devices_of_freepbx_belong_to_their_extension() {
    let mut sides = Sides::default();
    let second = sides.intern("PJSIP/99101-00000002");
    assert_eq!(sides.extension(second, None), "99101", "nobody knows a 101");
    assert_eq!(sides.extension(second, Some("101")), "101");
    sides.intern("PJSIP/101-00000001");
    assert_eq!(sides.extension(second, None), "101");
    let other = sides.intern("PJSIP/90102-00000003");
    sides.hint("102", "PJSIP/102&PJSIP/90102");
    assert_eq!(sides.extension(other, None), "102");
}

#[test]
fn the_extension_of_a_named_device_is_the_number_with_which_it_calls() {
    let mut sides = Sides::default();
    let phone = sides.intern("PJSIP/alice-00000001");
    assert_eq!(sides.extension(phone, None), "alice");
    sides.called_in(phone, Some("101"), "102", "ctx");
    assert_eq!(sides.extension(phone, None), "101");
    assert_eq!(sides.verdict(phone).side, Side::Inside);
}
