//! From an invocation to an exit code: 0 for success or a clean stop, 1 for any error, printed as `Error: …`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::args::{self, Command, Host, Invocation};
use super::{describe, init, life, list, listen};
use crate::component::{cache, registry};
use crate::manifest::model::Use;
use crate::manifest::settings::{Overrides, Settings};
use crate::manifest::{Description, Manifest, check, parse, print};
use crate::pipeline::{Plan, Workshop};

/// The program.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    if arguments.nth(1).is_some_and(|first| first == cache::COMPILE_COMMAND) {
        return cache::compile_command();
    }
    #[cfg(feature = "faults")]
    if let Some(code) = crate::fault::command() {
        return code;
    }
    let invocation = match args::parse(std::env::args_os(), registry::shipped()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match dispatch(invocation) {
        Ok(code) => code,
        Err(message) => {
            eprintln!("Error: {}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}

pub(super) fn lookup(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

fn dispatch(invocation: Invocation) -> Result<ExitCode, String> {
    let Invocation { global, command, given } = invocation;
    let shipped = registry::shipped();
    match command {
        Command::Run(run) => {
            let flags = run.host.overrides(&global);
            life::start(Box::new(move || plan(&read(&run.manifest, &global)?, &flags)))
        }
        Command::Listen(listen) => {
            let manifest = listen::manifest(&listen, &global, &given, shipped, &lookup)?;
            if listen.print_manifest {
                print!("{}", print::yaml(&manifest, shipped));
                return Ok(ExitCode::SUCCESS);
            }
            life::start(Box::new(move || {
                let manifest = listen::manifest(&listen, &global, &given, shipped, &lookup)?;
                plan(&manifest, &listen.host.overrides(&global))
            }))
        }
        Command::Snapshot(snapshot) => super::snapshot::command(*snapshot, &global, &given, shipped),
        Command::Validate(validate) => {
            let flags = Host::default().overrides(&global);
            self::validate(&read(&validate.manifest, &global)?, &flags, validate.offline)
        }
        Command::Init(options) if options.state => {
            let (workshop, _) = workshop(&read(&None, &global)?, &Overrides::default())?;
            show(workshop.state_sql()?)
        }
        Command::Init(options) => show(init::sql(&options)?),
        Command::List(options) => {
            let mut text = list::render(shipped, options.kind, options.json);
            let absent = registry::absent();
            if !absent.is_empty() && !options.json {
                text.push_str(&format!(
                    "\nnot built into this pgcdc (run `make build`): {}\n",
                    absent.join(", ")
                ));
            }
            show(text)
        }
        Command::Describe(options) => {
            let description = described(&options.connector, options.kind)?;
            show(if options.json { describe::json(&description) } else { describe::render(&description) })
        }
        Command::Add(add) => {
            add.components.iter().try_for_each(|path| self::add(path)).map(|()| ExitCode::SUCCESS)
        }
        Command::Status(status) => super::ask::status(&status, &global),
        Command::Dlq { action } => super::dlq::command(action, &global),
        Command::Checkpoint { action } => super::memory::command(action, &global),
        Command::Slot { action } => super::slot::command(action, &global),
        Command::Doctor(options) => super::doctor::command(&options, &global),
        Command::Certify(options) => block_on(crate::certify::command(options)),
        Command::Version => show(format!("pgcdc {}\n", env!("CARGO_PKG_VERSION"))),
        Command::Completion { shell } => {
            args::completion(shell, shipped, &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn show(text: String) -> Result<ExitCode, String> {
    print!("{text}");
    Ok(ExitCode::SUCCESS)
}

/// The manifest of a command: as named, as `--config` says, or `pgcdc.yaml`.
pub(super) fn read(named: &Option<PathBuf>, global: &args::Global) -> Result<Manifest, String> {
    let path = named.clone().or_else(|| global.config.clone()).unwrap_or_else(|| "pgcdc.yaml".into());
    let parsed = parse::file(&path, &lookup).map_err(|report| report.to_string())?;
    parsed.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(parsed.manifest)
}

/// A manifest, checked with the components that it names and merged with the settings from elsewhere.
pub(super) fn plan(manifest: &Manifest, flags: &Overrides) -> Result<Plan, String> {
    let settings = Settings::merge(&manifest.settings, &lookup, flags)?;
    crate::admin::log::install(settings.log.level, settings.log.format);
    let digests = RefCell::new(BTreeMap::new());
    let foreign = |uses: &Use, pin: Option<&[u8; 32]>| match uses {
        Use::File(path) => {
            let opened = registry::open(path)?;
            opened.check_pin(pin)?;
            digests.borrow_mut().insert(path.clone(), opened.digest);
            Ok(opened.description)
        }
        other => Err(format!("{} cannot be had: this pgcdc has no registry client", other.typed())),
    };
    let checked =
        check::check(manifest, registry::shipped(), &foreign).map_err(|report| report.to_string())?;
    checked.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(Plan { checked, digests: digests.into_inner(), settings })
}

pub(super) fn workshop(manifest: &Manifest, flags: &Overrides) -> Result<(Workshop, Settings), String> {
    of_plan(plan(manifest, flags)?)
}

/// The workshop of a plan, and the settings.
pub(super) fn of_plan(plan: Plan) -> Result<(Workshop, Settings), String> {
    let settings = plan.settings.clone();
    let state_dir = settings.state_dir_or_default(&lookup)?;
    Ok((Workshop::new(plan, state_dir)?, settings))
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8))
        .build()
        .map_err(|e| format!("the runtime does not start: {e}"))
}

/// Runs something to its end on a runtime of its own.
pub(super) fn block_on<R>(work: impl Future<Output = Result<R, String>>) -> Result<R, String> {
    runtime()?.block_on(work)
}

fn validate(manifest: &Manifest, flags: &Overrides, offline: bool) -> Result<ExitCode, String> {
    let (workshop, _) = workshop(manifest, flags)?;
    println!("manifest: ok");
    if offline {
        return Ok(ExitCode::SUCCESS);
    }
    let found = block_on(async { Ok(workshop.check().await) })?;
    let mut code = ExitCode::SUCCESS;
    for (name, answer) in found {
        match answer {
            Ok(()) => println!("{name}: ok"),
            Err(error) => {
                println!("{name}: FAIL {error}");
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn described(name: &str, kind: Option<crate::manifest::Kind>) -> Result<Description, String> {
    if name.ends_with(".wasm") || name.contains('/') {
        return registry::open(Path::new(name)).map(|opened| opened.description);
    }
    describe::find(registry::shipped(), name, kind).cloned()
}

/// Looks into a component, compiles it ahead of its first run, and says what it asks for.
fn add(path: &Path) -> Result<(), String> {
    let opened = registry::open(path)?;
    let state_dir = Settings::merge(&Overrides::default(), &lookup, &Overrides::default())?
        .state_dir_or_default(&lookup)?;
    registry::compile(&opened, &state_dir).map_err(|e| format!("{}: {e}", path.display()))?;
    print!("{}", describe::render(&opened.description));
    println!("\nuse: {}\nsha256: {}", path.display(), opened.digest);
    Ok(())
}
