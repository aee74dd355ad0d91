//! Interface `log`: a guest's lines among the host's, cut and at a bounded rate.

use super::host::log::{Host, Level};
use crate::component::state::State;

const MESSAGE_BYTES_MAX: usize = 4096;
const FIELDS_MAX: usize = 16;

impl Host for State {
    fn write(
        &mut self,
        level: Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        if !self.log_rate.admit(&self.name) {
            return Ok(());
        }
        // One line of a guest is one line of the log, whatever it has in it.
        let message = cut(&message).replace(char::is_control, " ");
        let particulars: Vec<String> = fields
            .iter()
            .take(FIELDS_MAX)
            .map(|(key, value)| format!("{}={}", cut(key), cut(value)))
            .collect();
        let (connector, fields) = (&*self.name, particulars.join(" "));
        match level {
            Level::Trace => tracing::trace!(connector, fields, "{message}"),
            Level::Debug => tracing::debug!(connector, fields, "{message}"),
            Level::Info => tracing::info!(connector, fields, "{message}"),
            Level::Warn => tracing::warn!(connector, fields, "{message}"),
            Level::Error => tracing::error!(connector, fields, "{message}"),
        }
        Ok(())
    }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(MESSAGE_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
