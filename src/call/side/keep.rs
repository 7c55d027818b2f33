//! Pure: what was seen of endpoints, to and from the values of a checkpoint.

use crate::call::checkpoint::{EndpointV1, VERSION};
use crate::call::side::evidence::Evidence;
use crate::call::side::{Endpoint, EndpointIndex, Sides};

impl Sides {
    /// What changed since it was last taken, at most `limit` values.
    pub fn take_changed(&mut self, limit: usize) -> Vec<EndpointV1> {
        let count = limit.min(self.changed.len());
        let changed: Vec<u32> = self.changed.drain(..count).collect();
        changed.into_iter().map(|index| self.endpoints[index as usize].take()).collect()
    }

    /// Every endpoint is to be written anew.
    pub fn keep_all(&mut self) {
        let all = (0..).zip(&mut self.endpoints).filter(|(_, endpoint)| !endpoint.dirty);
        self.changed.extend(all.map(|(index, endpoint)| {
            endpoint.dirty = true;
            index
        }));
    }

    /// Whether [`Sides::take_changed`] has something to give.
    pub fn has_changed(&self) -> bool {
        !self.changed.is_empty()
    }

    /// Adds what was known of an endpoint to what is.
    pub fn restore(&mut self, value: EndpointV1) {
        let EndpointV1 { v: _, name, seen, hint, number, caller, unknown } = value;
        let index = self.intern_endpoint(&name);
        self.change(index, |endpoint| {
            let known = seen.iter().filter_map(|seen| Evidence::from_name(seen));
            known.for_each(|evidence| endpoint.seen.add(evidence));
            let text = |text: Option<String>| text.map(String::into_boxed_str);
            endpoint.hint = endpoint.hint.take().or(text(hint));
            endpoint.number = endpoint.number.take().or(text(number));
            endpoint.caller = endpoint.caller.take().or(text(caller));
            endpoint.unknown = (!unknown.is_empty()).then(|| Box::new(unknown));
        });
        self.is_written(index);
    }

    /// What is in the store already need not be written again.
    fn is_written(&mut self, index: EndpointIndex) {
        if self.changed.back() == Some(&index.0) {
            self.changed.pop_back();
            self.endpoints[index.0 as usize].dirty = false;
        }
    }
}

impl Endpoint {
    fn take(&mut self) -> EndpointV1 {
        self.dirty = false;
        let text = |text: &Option<Box<str>>| text.as_deref().map(str::to_owned);
        EndpointV1 {
            v: VERSION,
            name: self.name.to_string(),
            seen: self.seen.iter().map(|evidence| evidence.as_str().to_owned()).collect(),
            hint: text(&self.hint),
            number: text(&self.number),
            caller: text(&self.caller),
            unknown: self.unknown.clone().map(|unknown| *unknown).unwrap_or_default(),
        }
    }
}
