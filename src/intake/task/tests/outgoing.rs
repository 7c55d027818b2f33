//! The way out while the store is slow or dead: nothing spins, nothing grows.

use super::*;

/// A door of which a test says what it does.
#[derive(Clone, Default)]
struct Door(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    refuses: bool,
    /// It takes parcels and leaves them unanswered.
    hangs: bool,
    parcels: Vec<Parcel>,
}

impl Door {
    fn set(&self, refuses: bool, hangs: bool) {
        let mut inside = self.0.lock().unwrap();
        (inside.refuses, inside.hangs) = (refuses, hangs);
    }

    /// How many values each parcel had that was taken.
    fn values(&self) -> Vec<usize> {
        self.0.lock().unwrap().parcels.iter().map(|parcel| parcel.changes.len()).collect()
    }
}

impl Sink for Door {
    fn offer(&mut self, parcel: Parcel) -> Result<(), Parcel> {
        let mut inside = self.0.lock().unwrap();
        if inside.refuses {
            return Err(parcel);
        }
        inside.parcels.push(parcel);
        Ok(())
    }

    fn returned(&mut self) -> Parcel {
        Parcel::default()
    }

    fn kept(&self) -> std::pin::Pin<Box<dyn Future<Output = Result<Kept, String>> + Send>> {
        Box::pin(async { Ok(Kept::new()) })
    }

    fn owes(&self) -> bool {
        self.0.lock().unwrap().hangs
    }

    fn owes_values(&self) -> bool {
        self.owes() && self.0.lock().unwrap().parcels.iter().any(|parcel| parcel.calls.is_empty())
    }

    fn is_dead(&self) -> bool {
        false
    }

    fn spill(&mut self, calls: Vec<FinishedCall>) -> Result<(), Vec<FinishedCall>> {
        Err(calls)
    }
}

/// An intake behind `door`, with a reader in which something changed.
fn behind(door: &Door) -> Intake {
    let mut office = office(Shelf::with_room(0));
    office.intake.out = Outgoing::new(Box::new(door.clone()), clock::mono());
    change(&mut office.intake, 1);
    office.intake
}

fn change(intake: &mut Intake, n: u32) {
    let [head, _] = parts_of_a_call("OTHER");
    let block = head.replace("1.1", &format!("{n}.1"));
    intake.reader.handle_frame(&Frame { kind: crate::ami::wire::Kind::Event, block: block.as_bytes() }, None);
}

/// Meets every deadline of the next ten seconds, something changing all the while; how many there were.
async fn deadlines(intake: &mut Intake) -> usize {
    let end = clock::mono().after(Duration::from_secs(10));
    let mut count = 0;
    while let Some(due) = intake.deadline().filter(|due| *due <= end) {
        clock::sleep_until(Some(due)).await;
        intake.collect();
        change(intake, 2 + u32::try_from(count).unwrap());
        count += 1;
        assert!(count < 1000, "it spins: {due:?} is due again and again");
    }
    count
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_makes_nothing_spin() {
    let door = Door::default();
    door.set(true, false);
    let mut intake = behind(&door);
    intake.out.push(call(1));
    assert!(deadlines(&mut intake).await <= 101);
    assert_eq!(door.values(), Vec::<usize>::new());
}

#[tokio::test(start_paused = true)]
async fn of_values_one_parcel_is_under_way_at_a_time() {
    let door = Door::default();
    door.set(false, true);
    let mut intake = behind(&door);
    assert!(deadlines(&mut intake).await <= 101);
    assert_eq!(door.values().len(), 1, "it was not answered");
    door.set(false, false);
    assert!(deadlines(&mut intake).await > 0);
    assert!(door.values().len() > 5, "{:?}", door.values());
}

#[tokio::test(start_paused = true)]
async fn values_that_are_refused_do_not_pile_up() {
    let door = Door::default();
    door.set(true, false);
    let mut intake = behind(&door);
    let tried = deadlines(&mut intake).await;
    door.set(false, false);
    clock::sleep_until(Some(clock::mono().after(Duration::from_secs(2)))).await;
    intake.collect();
    // The stream, the endpoint, and for each change a channel and a call.
    assert_eq!(door.values(), [2 * (tried + 1) + 2]);
}
