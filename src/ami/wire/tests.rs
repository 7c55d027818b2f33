use super::*;

/// Frames as `kind: text`, fed in pieces of `chunk` bytes.
fn split(input: &[u8], chunk: usize) -> Vec<String> {
    let (mut splitter, mut buffer, mut frames) = (Splitter::new(), Vec::new(), Vec::new());
    for piece in input.chunks(chunk) {
        buffer.extend_from_slice(piece);
        let mut at = 0;
        loop {
            match splitter.next(&buffer[at..]) {
                Step::Frame { frame, used } => {
                    frames.push(format!("{:?}: {}", frame.kind, String::from_utf8_lossy(frame.block)));
                    at += used;
                }
                Step::Skip { used } => {
                    assert!(used > 0, "a skip moves on");
                    at += used;
                }
                Step::More => break,
            }
        }
        buffer.drain(..at);
        assert!(buffer.len() <= BLOCK_MAX + LINE_MAX + 2, "memory is bounded");
    }
    frames
}

#[track_caller]
fn check(input: &str, expected: &[&str]) {
    for chunk in [input.len().max(1), 1, 7] {
        let frames = split(input.as_bytes(), chunk);
        let short: Vec<String> = frames.iter().map(|f| f.replace("\r\n", "|").replace('\n', "|")).collect();
        assert_eq!(short, expected, "in pieces of {chunk}");
    }
}

#[test]
fn a_banner_is_a_line_of_its_own() {
    check(
        "Asterisk Call Manager/11.0.0\r\nResponse: Success\r\nMessage: ok\r\n\r\n",
        &["Banner: Asterisk Call Manager/11.0.0", "Response: Response: Success|Message: ok|"],
    );
    check("asterisk call manager/11.0.0\n\n", &["Banner: asterisk call manager/11.0.0"]);
}

#[test]
fn any_mix_of_line_ends_ends_a_block_once() {
    check(
        "Event: Hangup\nCause: 16\n\n\n\nEvent: Hold\r\n\r\n\n",
        &["Event: Event: Hangup|Cause: 16|", "Event: Event: Hold|"],
    );
    check(
        "Event: Hangup\r\nCause: 16\r\n\n\r\nEvent: Hold\r\n\n",
        &["Event: Event: Hangup|Cause: 16|", "Event: Event: Hold|"],
    );
}

#[test]
fn a_variable_smuggled_behind_another_hides_nothing() {
    let block = "Event: VarSet\r\nVariable: FROM_DID\r\nValue: 7\r\nVariable: X\r\n";
    check(&format!("{block}\r\n"), &[&format!("Event: {}", block.replace("\r\n", "|"))]);
}

#[test]
fn events_and_variables_that_nobody_needs_are_stepped_over() {
    check("Event: Newexten\r\nX: 1\r\n\r\nEvent: VarSet\r\nVariable: EXT\r\nValue: 1\r\n\r\n", &[]);
    check(
        "Event: VarSet\r\nVariable: __FROM_DID\r\nValue: 1\r\n\r\n",
        &["Event: Event: VarSet|Variable: __FROM_DID|Value: 1|"],
    );
}

#[test]
fn the_order_and_case_of_headers_do_not_matter() {
    check("Channel: a\r\nEVENT: Hangup\r\n\r\n", &["Event: Channel: a|EVENT: Hangup|"]);
}

#[test]
fn a_cut_block_is_dropped_and_the_next_one_kept() {
    check(
        "Event: Hangup\r\nLinkedid: 15\r\nEvent: Hold\r\nPrivilege: call,all\r\n\r\n",
        &["Event: Event: Hold|Privilege: call,all|"],
    );
    check(
        "Event: Hangup\r\nPrivilege: call,all\r\nLinkedid: 15Event: Hold\r\nPrivilege: call,all\r\n\r\n",
        &["Event: Event: Hold|Privilege: call,all|"],
    );
}

#[test]
fn a_raw_reply_is_one_frame() {
    check(
        "Response: Follows\r\nPrivilege: Command\r\na: b\n\nEvent: Hangup\nx--END COMMAND--\r\n\r\nEvent: Hold\r\n\r\n",
        &[
            "Response: Response: Follows|Privilege: Command|a: b||Event: Hangup|x--END COMMAND--|",
            "Event: Event: Hold|",
        ],
    );
}

#[test]
fn text_that_is_no_block_is_dropped() {
    check(
        "kedid: 7\r\nContext: x\r\n\r\nGET / HTTP/1.1\r\n\r\nEvent: Hold\r\n\r\n",
        &["Event: Event: Hold|"],
    );
}

#[test]
fn an_oversize_value_costs_one_event() {
    let value = "x".repeat(5 << 20);
    let input = format!(
        "Event: VarSet\r\nVariable: DIALSTATUS\r\nValue: {value}\r\nMore: 1\r\n\r\nEvent: Hold\r\n\r\n"
    );
    for chunk in [input.len(), 4096, LINE_MAX - 1] {
        let frames = split(input.as_bytes(), chunk);
        assert_eq!(frames, ["Event: Event: Hold\r\n"], "in pieces of {chunk}");
    }
}

#[test]
fn a_block_of_endless_lines_costs_one_event() {
    let input = format!("Event: Hangup\r\n{}\r\nEvent: Hold\r\n\r\n", "a: b\r\n".repeat(400_000));
    for chunk in [input.len(), 1000] {
        assert_eq!(split(input.as_bytes(), chunk), ["Event: Event: Hold\r\n"], "in pieces of {chunk}");
    }
}

#[test]
fn damage_is_counted() {
    let mut splitter = Splitter::new();
    let mut input: &[u8] = b"noise\r\n\r\nEvent: Hangup\r\nEvent: Hold\r\n\r\n";
    while let Step::Frame { used, .. } | Step::Skip { used } = splitter.next(input) {
        input = &input[used..];
    }
    assert_eq!(splitter.damage(), Damage { glued: 1, oversize: 0, headless: 1 });
}

#[test]
fn a_header_is_found_in_any_case() {
    let frame = Frame {
        kind: Kind::Event,
        block: b"Event: Hangup\r\nno colon\r\nUniqueID:1.2\r\nX:  a: b \r\nY:\r\n",
    };
    assert_eq!(frame.header("uniqueid"), Some(&b"1.2"[..]));
    assert_eq!(frame.header("x"), Some(&b"a: b"[..]));
    assert_eq!(frame.header("y"), Some(&b""[..]));
    assert_eq!(frame.header("z"), None);
}
