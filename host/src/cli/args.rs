//! Every command and its own flags. `listen` gets the connectors' flags on top (`flags`).

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use super::flags::{self, Given};
use super::pressure_flags::PressureFlags;
use crate::manifest::description::{Description, Kind};
use crate::manifest::quantity;
use crate::manifest::settings::{BusMode, LogFormat, LogLevel, Overrides};

/// What was asked for.
#[derive(Debug)]
pub struct Invocation {
    /// Flags that every command has.
    pub global: Global,
    /// The command.
    pub command: Command,
    /// `listen` only: what was given for connectors, in the order of [`flags::table`].
    pub given: Vec<Given>,
}

#[derive(Debug, Parser)]
#[command(
    name = "pgcdc",
    version,
    about = "Captures changes from databases and delivers them anywhere",
    subcommand_required = true,
    arg_required_else_help = true
)]
struct Typed {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Flags that every command has.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// The manifest; ./pgcdc.yaml if absent
    #[arg(long, global = true, display_order = 900, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The least level that is logged [default: info]
    #[arg(long, global = true, display_order = 901, value_name = "LEVEL", value_parser = words(LogLevel::WORDS, LogLevel::from_word))]
    pub log_level: Option<LogLevel>,
    /// How log lines look, on standard error [default: text]
    #[arg(long, global = true, display_order = 902, value_name = "FORMAT", value_parser = words(LogFormat::WORDS, LogFormat::from_word))]
    pub log_format: Option<LogFormat>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything that a manifest names
    Run(Run),
    /// Run one source and a few sinks from flags alone
    Listen(Box<Listen>),
    /// Deliver the rows that tables hold now, once, and end
    Snapshot(Box<super::snapshot::Snapshot>),
    /// Compile a component and keep it ready
    Add(Add),
    /// Print the SQL that a database needs
    Init(Init),
    /// Check a manifest, and ask every connector whether the other side answers
    Validate(Validate),
    /// Show the connectors that come with pgcdc
    List(List),
    /// Show what a connector says about itself
    Describe(Describe),
    /// Show how far every source and sink is
    Status(Status),
    /// Look at refused changes, send them again, or remove them
    Dlq {
        /// What to do
        #[command(subcommand)]
        action: super::dlq_args::Dlq,
    },
    /// Look at stored positions, or set them by hand
    Checkpoint {
        /// What to do
        #[command(subcommand)]
        action: Checkpoint,
    },
    /// Look at replication slots, make one, or drop one
    Slot {
        /// What to do
        #[command(subcommand)]
        action: super::slot_args::Slot,
    },
    /// Look at a database as pgcdc will use it, and say what is wrong and what to type
    Doctor(super::slot_args::Doctor),
    /// Prove on your own database that nothing is lost: kills pgcdc again and again, and checks what arrived
    Certify(crate::certify::Options),
    /// Show the version
    Version,
    /// Print completions for a shell
    Completion {
        /// The shell
        shell: Shell,
    },
}

/// Settings of a running pgcdc.
#[derive(Clone, Debug, Default, Args)]
pub struct Host {
    /// What a full lane does [default: by the kind of source]
    #[arg(long, value_name = "MODE", value_parser = words(BusMode::WORDS, BusMode::from_word))]
    pub bus_mode: Option<BusMode>,
    /// Where metrics and health are served
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics_addr: Option<SocketAddr>,
    /// For draining everything after a signal [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub shutdown_timeout: Option<Duration>,
    /// Where pgcdc keeps what must survive [default: the platform's state directory]
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Start without asking connectors whether the other side answers
    #[arg(long)]
    pub skip_validation: bool,
    /// Wait for another pgcdc to leave the state directory, instead of ending
    #[arg(long)]
    pub standby: bool,
    /// What a lagging slot does
    #[command(flatten)]
    pub pressure: PressureFlags,
    /// Start without making or changing pgcdc's own tables
    #[arg(long)]
    pub skip_migrations: bool,
}

/// `pgcdc run`.
#[derive(Clone, Debug, Default, Args)]
pub struct Run {
    /// The manifest; --config or ./pgcdc.yaml if absent
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Settings that win over the manifest's
    #[command(flatten)]
    pub host: Host,
}

/// `pgcdc listen`, but for the connectors' flags.
#[derive(Clone, Debug, Default, Args)]
pub struct Listen {
    /// Where changes come from
    #[arg(long, value_name = "SOURCE", default_value = "listen_notify")]
    pub detector: String,
    /// Where changes go; repeat it or separate with commas [default: stdout]
    #[arg(long, short, value_name = "SINK", value_delimiter = ',')]
    pub adapter: Vec<String>,
    /// Channels to listen on; repeat it or separate with commas
    #[arg(id = "channel", long = "channel", short, value_name = "CHANNEL", value_delimiter = ',')]
    pub channel: Vec<String>,
    /// Send a sink these channels only; repeat it for further sinks
    #[arg(long, value_name = "SINK=CHANNEL,…")]
    pub route: Vec<String>,
    /// Leave these columns out of every event
    #[arg(id = "drop-columns", long = "drop-columns", value_name = "COLUMN", value_delimiter = ',')]
    pub drop_columns: Vec<String>,
    /// Pass these operations only
    #[arg(
        id = "filter-operations",
        long = "filter-operations",
        value_name = "OPERATION",
        value_delimiter = ','
    )]
    pub filter_operations: Vec<String>,
    /// Wrap payloads in Debezium's envelope, behind whatever works on columns
    #[arg(long)]
    pub debezium_envelope: bool,
    /// Wrap payloads in CloudEvents, behind whatever works on columns
    #[arg(long)]
    pub cloudevents_envelope: bool,
    /// Where refused changes are kept; `none` loses them [default: stderr]
    #[arg(long, value_name = "DLQ")]
    pub dlq: Option<String>,
    /// Pass a sink by, into the dead letters, by its last N deliveries; 0 never does [default: 0]
    #[arg(long, value_name = "N")]
    pub dlq_window_size: Option<u32>,
    /// So many dead letters among those are too many [default: half of them]
    #[arg(long, value_name = "N")]
    pub dlq_window_threshold: Option<u32>,
    /// Where positions are kept [default: a file in --state-dir]
    #[arg(long, value_name = "STORE")]
    pub checkpoint: Option<String>,
    /// Attempts after the first, for every sink
    #[arg(long, value_name = "N")]
    pub retries: Option<u32>,
    /// What a sink is worth when the slot lags: critical, normal or best-effort; repeat it for further sinks
    #[arg(long, value_name = "SINK=PRIORITY")]
    pub adapter_priority: Vec<String>,
    /// Print the manifest that these flags stand for, and stop
    #[arg(long)]
    pub print_manifest: bool,
    /// Settings of the host
    #[command(flatten)]
    pub host: Host,
}

/// `pgcdc add`.
#[derive(Clone, Debug, Args)]
pub struct Add {
    /// Component files
    #[arg(required = true, value_name = "FILE")]
    pub components: Vec<PathBuf>,
}

/// `pgcdc init`.
#[derive(Clone, Debug, Default, Args)]
pub struct Init {
    /// The table, or schema.table
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// The channel that the trigger notifies [default: pgcdc:<table>]
    #[arg(long, value_name = "CHANNEL")]
    pub channel: Option<String>,
    /// Print what the databases need in which the manifest (--config) keeps state
    #[arg(long, conflicts_with_all = ["table", "channel", "publication", "all_tables"])]
    pub state: bool,
    /// What the SQL is for: listen_notify or wal
    #[arg(long, value_name = "SOURCE", default_value = "listen_notify")]
    pub detector: String,
    /// The publication [default: pgcdc_<table>, or all with --all-tables]
    #[arg(long, value_name = "NAME")]
    pub publication: Option<String>,
    /// Publish every table; with --detector wal only
    #[arg(long)]
    pub all_tables: bool,
    /// Print what a connector's own table is made with: outbox
    #[arg(long, value_name = "CONNECTOR", conflicts_with_all = ["channel", "publication", "all_tables", "state"])]
    pub adapter: Option<String>,
    /// With --adapter outbox: the columns that Debezium's outbox event router has
    #[arg(long, requires = "adapter")]
    pub debezium: bool,
}

/// `pgcdc validate`.
#[derive(Clone, Debug, Default, Args)]
pub struct Validate {
    /// The manifest; --config or ./pgcdc.yaml if absent
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Check the file only, and open nothing
    #[arg(long)]
    pub offline: bool,
}

/// `pgcdc list`.
#[derive(Clone, Debug, Default, Args)]
pub struct List {
    /// Only connectors of this kind
    #[arg(long, value_name = "KIND", value_parser = words(KINDS, kind))]
    pub kind: Option<Kind>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// `pgcdc describe`.
#[derive(Clone, Debug, Args)]
pub struct Describe {
    /// A connector's name, or a component's file
    #[arg(value_name = "CONNECTOR")]
    pub connector: String,
    /// Which one, where two kinds share the name
    #[arg(long, value_name = "KIND", value_parser = words(KINDS, kind))]
    pub kind: Option<Kind>,
    /// The self-description as it is
    #[arg(long)]
    pub json: bool,
}

/// `pgcdc status`.
#[derive(Clone, Debug, Default, Args)]
pub struct Status {
    /// The manifest that says where it serves its metrics; `pgcdc.yaml` if there is one
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// Ask the pgcdc that serves its metrics there
    #[arg(long, value_name = "ADDR:PORT", conflicts_with = "manifest")]
    pub metrics_addr: Option<SocketAddr>,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
}

/// `pgcdc checkpoint …`.
#[derive(Clone, Debug, Subcommand)]
pub enum Checkpoint {
    /// Show what is stored
    Show {
        /// Whose
        #[command(flatten)]
        of: Stored,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Take the source as it is now for the one that the state belongs to
    Adopt {
        /// Whose
        #[command(flatten)]
        of: Stored,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Forget what is stored
    Reset {
        /// Whose
        #[command(flatten)]
        of: Stored,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Whose stored positions are meant.
#[derive(Clone, Debug, Default, Args)]
pub struct Stored {
    /// The manifest; --config or ./pgcdc.yaml if absent
    #[arg(value_name = "MANIFEST")]
    pub manifest: Option<PathBuf>,
    /// One source only, by its name in the manifest
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// Where the state is kept
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
}

/// Shells that completions can be printed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// Z shell
    Zsh,
    /// fish
    Fish,
}

const KINDS: &[&str] = &["source", "transform", "sink", "dlq", "checkpoint-store"];

fn kind(word: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == word)
}

fn words<T: Clone + Send + Sync + 'static>(
    words: &'static [&'static str],
    from: fn(&str) -> Option<T>,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(words).try_map(move |word| from(&word).ok_or("not one of them"))
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let value = quantity::duration(text).filter(|value| !value.is_zero());
    value.ok_or_else(|| "wanted: a duration of more than 0, such as 500ms, 10s or 1m30s".to_owned())
}

/// The whole command, with the flags of these connectors.
pub fn command(shipped: &[Description]) -> clap::Command {
    Typed::command()
        .mut_subcommand("listen", |listen| flags::register(listen, &flags::table(shipped)))
        .mut_subcommand("snapshot", |snapshot| flags::register(snapshot, &super::snapshot::flags(shipped)))
}

/// Reads a command line; `argv` begins with the program's name. The error knows how to print
/// itself and its exit code; help and version are such errors, too.
pub fn parse<I, S>(argv: I, shipped: &[Description]) -> Result<Invocation, clap::Error>
where
    I: IntoIterator<Item = S>,
    S: Into<OsString> + Clone,
{
    let mut command = command(shipped);
    let matches = command.try_get_matches_from_mut(argv).map_err(discreet)?;
    let Typed { global, command: typed } = Typed::from_arg_matches(&matches).map_err(discreet)?;
    let given = match matches.subcommand() {
        Some(("listen", listen)) => flags::given(listen, &flags::table(shipped)),
        Some(("snapshot", snapshot)) => flags::given(snapshot, &super::snapshot::flags(shipped)),
        _ => Vec::new(),
    };
    if matches!(typed, Command::Listen(_)) && global.config.is_some() {
        let message = "listen takes flags only; a manifest is run with `pgcdc run FILE`";
        return Err(command.error(ErrorKind::ArgumentConflict, message));
    }
    Ok(Invocation { global, command: typed, given })
}

/// Something in the wrong place may be a password or a URL with one: its text is not repeated.
fn discreet(mut error: clap::Error) -> clap::Error {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        let Some(ContextValue::String(typed)) = error.get(kind) else { continue };
        let stray = kind == ContextKind::InvalidArg && !typed.starts_with(['-', '<']);
        if stray || typed.contains("://") || typed.contains('@') {
            error.insert(kind, ContextValue::String("***".to_owned()));
        }
    }
    error
}

/// Prints completions for a shell.
pub fn completion(shell: Shell, shipped: &[Description], to: &mut dyn std::io::Write) {
    let mut command = command(shipped);
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    clap_complete::generate(shell, &mut command, "pgcdc", to);
}

impl Host {
    /// The flags as the topmost layer of settings.
    pub fn overrides(&self, global: &Global) -> Overrides {
        let mut layer = Overrides::default();
        layer.log.level = global.log_level;
        layer.log.format = global.log_format;
        layer.bus.mode = self.bus_mode;
        layer.metrics_addr = self.metrics_addr;
        layer.shutdown_timeout = self.shutdown_timeout;
        layer.state_dir = self.state_dir.clone();
        layer.skip_validation = self.skip_validation.then_some(true);
        layer.standby = self.standby.then_some(true);
        layer.backpressure = self.pressure.overrides();
        layer.skip_migrations = self.skip_migrations.then_some(true);
        layer
    }
}
