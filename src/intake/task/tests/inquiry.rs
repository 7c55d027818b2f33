//! Questions about calls in progress, while the PBX is read.

use super::*;
use crate::intake::task::inquiry::{Seen, Silent};

#[tokio::test(start_paused = true)]
async fn calls_in_progress_are_told_while_the_pbx_is_read() {
    let mut office = office(Shelf::with_room(1));
    let (connection, mut theirs) = pipe();
    theirs.write_all(GREETING).await.unwrap();
    let inquiry = office.inquiry.clone();
    let stop = office.stop.clone();
    let follow = tokio::spawn(async move { office.intake.follow(connection).await.is_none() });
    passes(&mut office.link, Link::Up { asterisk_version: None }).await;
    assert_eq!(inquiry.calls(9).await.unwrap(), Seen::default(), "there was no event yet");
    for n in 0..70 {
        let channel = format!("Channel: PJSIP/trunk-{n:08x}\r\nUniqueid: 1.{n}\r\nLinkedid: 1.{n}\r\n");
        let begin = format!("Event: Newchannel\r\nTimestamp: 9.0\r\nExten: 74957000101\r\n{channel}\r\n");
        theirs.write_all(begin.as_bytes()).await.unwrap();
    }
    let mut seen = inquiry.calls(100).await.unwrap();
    while seen.calls.len() < 70 {
        seen = inquiry.calls(100).await.unwrap();
    }
    assert_eq!((seen.calls[0].call_id.as_str(), seen.more), ("t-1.69", false), "the newest is the first");
    let some = inquiry.calls(40).await.unwrap();
    assert_eq!((some.calls.len(), some.more), (40, true));
    assert_eq!(some.calls, seen.calls[..40]);
    stop.cancel();
    assert!(follow.await.unwrap());
    assert_eq!(inquiry.calls(1).await, Err(Silent), "the intake is gone");
}
