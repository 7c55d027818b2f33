//! Which lines are wanted: the level of each part. Spans are kept whatever it is: a line that is wanted later shall
//! say where it stands.

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id};
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::ops::log::fields::Fields;

/// The spans of this program.
const OWN: &str = env!("CARGO_PKG_NAME");

#[derive(Clone, Debug)]
pub(super) struct Levels(pub Targets);

impl Levels {
    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let is_own_span = metadata.is_span() && metadata.target().starts_with(OWN);
        (is_own_span && *metadata.level() == Level::ERROR)
            || self.0.would_enable(metadata.target(), metadata.level())
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Levels {
    /// Keeps the fields of a span with it, for the lines in it.
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            span.extensions_mut().replace(Fields::of_span(attributes));
        }
    }

    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _context: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        let highest = self.0.iter().map(|(_, level)| level).chain(self.0.default_level()).max();
        Some(highest.unwrap_or(LevelFilter::TRACE).max(LevelFilter::ERROR))
    }
}
