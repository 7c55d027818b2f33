//! What becomes of calls in progress when the process ends, or the core panics.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_call_in_progress_goes_on_after_a_restart() {
    let shelf = Shelf::with_room(1);
    let [head, tail] = parts_of_a_call("OTHER");
    for part in [head, tail] {
        let mut office = office(shelf.clone());
        let (connection, mut theirs) = pipe();
        theirs.write_all(GREETING).await.unwrap();
        theirs.write_all(part.as_bytes()).await.unwrap();
        let follow = tokio::spawn(async move {
            office.intake.set_clock();
            let end = office.intake.follow(connection).await;
            office.intake.collect();
            office.intake.drain().await;
            end.is_none()
        });
        passes(&mut office.link, Link::Up { asterisk_version: None }).await;
        office.stop.cancel();
        drop(theirs);
        assert!(follow.await.unwrap());
        assert_eq!(shelf.ids(), Vec::<String>::new(), "it is in progress still");
        assert!(shelf.1.lock().unwrap().contains_key("c/1.1"));
    }
    // It hung up a moment before the last end; nothing more is heard of it.
    let office = office(shelf.clone());
    let run = tokio::spawn(office.intake.run());
    clock::sleep_until(Some(clock::mono().after(Duration::from_secs(3)))).await;
    office.stop.cancel();
    run.await.unwrap().unwrap();
    assert_eq!(shelf.ids(), ["t-1.1"]);
    let record = shelf.0.lock().unwrap().1[0].record.clone();
    assert_eq!((record.started_at.micros(), record.partial), (1_795_339_565_000_001, false));
    let kept = shelf.1.lock().unwrap();
    assert!(kept.keys().all(|key| !key.starts_with(['c', 'g'])), "{:?}", kept.keys());
}

#[tokio::test(start_paused = true)]
async fn calls_in_progress_are_kept_once_a_second() {
    let mut office = office(Shelf::with_room(0));
    let (connection, mut theirs) = pipe();
    let [head, _] = parts_of_a_call("OTHER");
    theirs.write_all(GREETING).await.unwrap();
    let follow = tokio::spawn(async move { office.intake.follow(connection).await.is_none() });
    passes(&mut office.link, Link::Up { asterisk_version: None }).await;
    clock::sleep_until(Some(clock::mono().after(Duration::from_millis(1100)))).await;
    theirs.write_all(head.as_bytes()).await.unwrap();
    clock::sleep_until(Some(clock::mono().after(Duration::from_millis(1100)))).await;
    assert!(office.shelf.1.lock().unwrap().contains_key("c/1.1"));
    office.stop.cancel();
    assert!(follow.await.unwrap());
}

/// The begin of a call of its own.
fn begin(uniqueid: &str, exten: &str) -> String {
    let [head, _] = parts_of_a_call("OTHER");
    head.replace("1.1", uniqueid).replace("74957000101", exten)
}

fn poisoned(uniqueid: &str) -> String {
    format!("Event: UserEvent\r\nUserEvent: panic\r\nUniqueid: {uniqueid}\r\nLinkedid: {uniqueid}\r\n\r\n")
}

/// Follows one connection that sends `stream`, and what it led to.
async fn followed(office: &mut Office, stream: String) {
    let (connection, mut theirs) = pipe();
    theirs.write_all(GREETING).await.unwrap();
    let seconds = |seconds| clock::sleep_until(Some(clock::mono().after(Duration::from_secs(seconds))));
    let (stop, cut) = (CancellationToken::new(), office.stop.clone());
    office.intake.way.stop = stop.clone();
    let playing = async {
        seconds(2).await;
        theirs.write_all(stream.as_bytes()).await.unwrap();
        seconds(2).await;
        stop.cancel();
    };
    let (_, ()) = tokio::join!(office.intake.follow(connection), playing);
    office.intake.collect();
    if let Some(poison) = office.intake.guard.take() {
        office.intake.mend(poison).await;
    }
    office.intake.way.stop = cut;
    office.intake.out.drain(&mut office.intake.reader, clock::mono());
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_an_event_costs_its_call_and_no_other() {
    let (log, _guard) = Log::capture(tracing::Level::ERROR);
    let mut office = office(Shelf::with_room(9));
    followed(&mut office, begin("1.1", "74957000101") + &begin("2.1", "74957000102")).await;
    followed(&mut office, poisoned("1.1")).await;
    assert_eq!(office.intake.failed, None);
    let told = log.text();
    // In quotes: a time such as 00:36:52.137 is no channel.
    assert!(
        told.contains("as the test wants") && told.contains("\"1.1\"") && !told.contains("\"2.1\""),
        "{told}"
    );
    let files: Vec<_> =
        std::fs::read_dir(office.shelf.2.path()).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let kept = std::fs::read_to_string(&files[0]).unwrap();
    assert!(
        kept.starts_with("Event: UserEvent\r\nUserEvent: panic\r\n") && kept.contains("\n; c/1.1 {"),
        "{kept}"
    );
    // Nothing that is still heard of it counts; the other one goes on to its end.
    let [_, tail] = parts_of_a_call("OTHER");
    followed(&mut office, tail.clone() + &tail.replace("1.1", "2.1")).await;
    assert_eq!(office.shelf.ids(), ["t-2.1"]);
    assert!(office.shelf.1.lock().unwrap().keys().all(|key| !key.starts_with(['c', 'g'])));
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_the_end_of_a_call_costs_that_call() {
    let mut office = office(Shelf::with_room(9));
    let [_, tail] = parts_of_a_call("OTHER");
    followed(&mut office, begin("1.1", "panic at the end") + &begin("2.1", "74957000102")).await;
    followed(&mut office, tail.clone()).await;
    assert_eq!((office.intake.failed.clone(), office.shelf.ids()), (None, vec![]));
    followed(&mut office, tail.replace("1.1", "2.1")).await;
    assert_eq!(office.shelf.ids(), ["t-2.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_second_panic_within_a_minute_ends_the_process_and_the_calls_go_on_with_the_next() {
    let mut office = office(Shelf::with_room(9));
    let calls = ["1.1", "2.1", "3.1"].map(|uniqueid| begin(uniqueid, "74957000101")).concat();
    followed(&mut office, calls).await;
    followed(&mut office, poisoned("1.1")).await;
    followed(&mut office, poisoned("2.1")).await;
    assert!(office.intake.failed.as_ref().unwrap().contains("twice within a minute"));
    office.stop.cancel();
    let error = office.intake.run().await.unwrap_err();
    assert!(error.contains("as the test wants"), "{error}");
    let shelf = office.shelf.clone();
    let kept: Vec<_> = shelf.1.lock().unwrap().keys().filter(|key| key.starts_with("c/")).cloned().collect();
    assert_eq!(kept, ["c/3.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_over_what_was_kept_costs_no_start() {
    let (log, _guard) = Log::capture(tracing::Level::ERROR);
    let shelf = Shelf::with_room(9);
    let mut before = office(shelf.clone());
    followed(&mut before, begin("1.1", "panic at the start")).await;
    assert!(shelf.1.lock().unwrap().contains_key("c/1.1"));
    let mut after = office(shelf.clone());
    assert!(log.text().contains("as the test wants"), "{}", log.text());
    let [_, tail] = parts_of_a_call("OTHER");
    followed(&mut after, begin("2.1", "74957000102") + &tail.replace("1.1", "2.1")).await;
    followed(&mut after, String::new()).await;
    assert_eq!(shelf.ids(), ["t-2.1"]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_at_the_end_costs_one_call_and_not_those_that_wait() {
    let (log, _guard) = Log::capture(tracing::Level::ERROR);
    let mut office = office(Shelf::with_room(9));
    let calls = begin("1.1", "panic at the end") + &begin("2.1", "74957000102");
    followed(&mut office, calls).await;
    office.shelf.make_room(SPILLS);
    office.intake.out.push(call(3));
    let [tail, _] = parts_of_a_call("OTHER");
    let block = tail.replace("1.1", "2.1").replace("Newchannel", "Newstate");
    let frame = Frame { kind: crate::ami::wire::Kind::Event, block: block.as_bytes() };
    office.intake.reader.handle_frame(&frame, None);
    office.stop.cancel();
    let shelf = office.shelf.clone();
    office.intake.run().await.unwrap();
    assert_eq!(shelf.ids(), ["t-3", "t-2.1"]);
    assert!(log.text().contains("call lost") && log.text().contains("\"1.1\""), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_the_pbx_is_away_is_mended_at_once() {
    let mut office = office(Shelf::with_room(9));
    followed(&mut office, begin("1.1", "panic at the end") + &begin("2.1", "74957000102")).await;
    let [_, tail] = parts_of_a_call("OTHER");
    let hangup = tail.split_once("\r\n\r\n").unwrap().1;
    for block in [hangup.to_owned(), hangup.replace("1.1", "2.1").replace("1795339575", "1795339576")] {
        let frame = Frame { kind: crate::ami::wire::Kind::Event, block: block.as_bytes() };
        office.intake.reader.handle_frame(&frame, None);
    }
    office.intake.set_clock();
    office.intake.out.drain(&mut office.intake.reader, clock::mono());
    let shelf = office.shelf.clone();
    assert_eq!(shelf.ids(), Vec::<String>::new());
    assert!(office.intake.pause(clock::mono().after(Duration::from_hours(1))).await.is_some());
    assert_eq!(shelf.ids(), ["t-2.1"]);
}
