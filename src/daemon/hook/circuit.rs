//! Pure: a hook that fails again and again is left alone for a while, so that calls do not wait for it in vain.

use std::time::Duration;

use crate::time::MonoTime;

/// Failures in a row after which it is left alone.
const FAILURES_MAX: u32 = 5;

/// For how long. After that one more failure is enough.
const LEFT_ALONE: Duration = Duration::from_mins(1);

/// Whether the hook is asked.
#[derive(Debug, Default)]
pub struct Circuit {
    in_a_row: u32,
    open_until: MonoTime,
    last: Option<String>,
}

impl Circuit {
    pub fn worked(&mut self) {
        *self = Self::default();
    }

    pub fn failed(&mut self, now: MonoTime, reason: &str) {
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = Some(reason.to_owned());
        if self.in_a_row >= FAILURES_MAX {
            self.open_until = now.after(LEFT_ALONE);
        }
    }

    /// Whether calls go without it now.
    pub fn is_open(&self, now: MonoTime) -> bool {
        now < self.open_until
    }

    /// Why, since it fails again and again; `None` once it works.
    pub fn failure(&self) -> Option<String> {
        self.last.clone().filter(|_| self.in_a_row >= FAILURES_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_left_alone_for_a_minute_after_five_failures_in_a_row() {
        let mut circuit = Circuit::default();
        let at = |seconds: u64| MonoTime::default().after(Duration::from_secs(seconds));
        for _ in 0..4 {
            circuit.failed(at(1), "exit 1");
        }
        assert!(!circuit.is_open(at(1)) && circuit.failure().is_none());
        circuit.worked();
        for second in 1..=5 {
            assert!(!circuit.is_open(at(second)));
            circuit.failed(at(second), "exit 2");
        }
        assert!(circuit.is_open(at(5)) && circuit.is_open(at(64)) && !circuit.is_open(at(65)));
        assert_eq!(circuit.failure().as_deref(), Some("exit 2"));
        circuit.failed(at(66), "exit 3");
        assert!(circuit.is_open(at(67)), "one more is enough");
        circuit.worked();
        assert!(!circuit.is_open(at(67)) && circuit.failure().is_none());
    }
}
