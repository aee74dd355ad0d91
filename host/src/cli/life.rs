//! The life of the process: everything is checked, then opened, then runs until it is told to stop.

use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::main::{lookup, of_plan, runtime};
use super::signals::Signals;
use super::standby;
use crate::admin::http::{self, Admin};
use crate::admin::metrics::Metrics;
use crate::admin::panics;
use crate::admin::reload::Token;
use crate::pipeline::{Ended, Pipeline, ReloadDesk, Reread, Workshop};

/// The variable with the token of requests that change something.
const TOKEN_VARIABLE: &str = "PGCDC_ADMIN_TOKEN";

/// Runs what `plan` reads, and what it reads anew at every reload, to its end.
pub(super) fn start(plan: Reread) -> Result<ExitCode, String> {
    live(plan, |_| {}).map(|_| ExitCode::SUCCESS)
}

/// The same; `watch` gets the metrics once everything runs. How it ended, and the metrics.
pub(super) fn live(plan: Reread, watch: impl FnOnce(Arc<Metrics>)) -> Result<(Ended, Arc<Metrics>), String> {
    let began = Instant::now();
    let (workshop, settings) = of_plan(plan()?)?;
    let workshop = Arc::new(workshop);
    let seen = workshop.metrics();
    panics::install();
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let (stop, hangup) = Signals::install()?.stop();
        let mut stop = pin!(stop);
        let _alone = tokio::select! {
            alone = standby::lock(&workshop, settings.standby) => alone?,
            () = &mut stop => return Ok(Ended::Told),
        };
        let listener = match settings.metrics_addr {
            Some(address) => Some(http::bind(address).await?),
            None => None,
        };
        // A task of its own: what it waits for, or compiles, is not in the way of a signal.
        let mut opening = tokio::spawn(open(Arc::clone(&workshop)));
        let mut pipeline = tokio::select! {
            opened = &mut opening => opened.map_err(|_| "pgcdc does not start: the log says why")??,
            () = &mut stop => return Ok(Ended::Told),
        };
        let (metrics, board) = (workshop.metrics(), pipeline.board.clone());
        let workshop_metrics = Arc::clone(&metrics);
        let reload = pipeline.reloaded_by(workshop, plan);
        tokio::spawn(reload_at(hangup, reload.clone()));
        if let Some(listener) = listener {
            let token = lookup(TOKEN_VARIABLE).and_then(|token| Token::new(token.into_string().ok()?));
            tokio::spawn(http::serve(listener, Admin { metrics, board, started: began, reload, token }));
        }
        watch(workshop_metrics);
        pipeline.run(stop, settings.shutdown_timeout).await
    });
    runtime.shutdown_background();
    ended.map(|ended| (ended, seen))
}

/// Checks every component, and then opens them.
async fn open(workshop: Arc<Workshop>) -> Result<Pipeline, String> {
    workshop.migrate().await?;
    workshop.content().await?;
    Pipeline::open(&workshop).await
}

/// Reloads at every SIGHUP; what came of it is in the log.
async fn reload_at(mut hangup: tokio::signal::unix::Signal, desk: ReloadDesk) {
    while hangup.recv().await.is_some() {
        let _ = desk.reload().await;
    }
}
