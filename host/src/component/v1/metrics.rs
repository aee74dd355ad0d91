//! Interface `metrics`: series of a connector's own.

use super::host::metrics::Host;
use crate::component::state::State;

impl Host for State {
    fn counter_add(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.services.metrics.connector_counter(&self.name, &name, value);
        Ok(())
    }

    fn gauge_set(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.services.metrics.connector_gauge(&self.name, &name, value);
        Ok(())
    }

    fn observe(&mut self, name: String, value: f64) -> wasmtime::Result<()> {
        self.services.metrics.connector_observe(&self.name, &name, value);
        Ok(())
    }
}
