//! What one line says: its message, its own fields, and those of the spans that it stands in.

use std::fmt::{self, Write as _};

use tracing::field::{Field, Visit};
use tracing::span::Attributes;
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// A field for searches alone: a reader of the text is told less by it than by its place in the line.
const UNSPOKEN: &str = "phone_hash";

/// The message and the fields of a line, or the fields of a span.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    pub message: String,
    pub named: Vec<(&'static str, String)>,
}

impl Fields {
    /// Those of a line and, behind them, of the spans around it, from the inmost.
    pub fn of<S: Subscriber + for<'a> LookupSpan<'a>>(event: &Event<'_>, context: &Context<'_, S>) -> Self {
        let mut fields = Self::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(around) = span.extensions().get::<Self>() {
                for (name, value) in &around.named {
                    if fields.get(name).is_none() {
                        fields.named.push((name, value.clone()));
                    }
                }
            }
        }
        fields
    }

    /// Those that a span begins with.
    pub fn of_span(attributes: &Attributes<'_>) -> Self {
        let mut fields = Self::default();
        attributes.record(&mut fields);
        fields
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The line as people read it: `call delivered call_id=default-1.4 note_id=7`.
    pub fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in self.named.iter().filter(|(name, _)| *name != UNSPOKEN) {
            let is_plain = !value.is_empty() && !value.contains(|c: char| c.is_whitespace() || c == '"');
            let separator = if text.is_empty() { "" } else { " " };
            // Writing to a string does not fail.
            let _ = if is_plain {
                write!(text, "{separator}{name}={value}")
            } else {
                write!(text, "{separator}{name}={value:?}")
            };
        }
        text
    }

    fn note(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else {
            self.named.push((field.name(), value));
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.note(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.note(field, format!("{value:?}"));
    }
}
