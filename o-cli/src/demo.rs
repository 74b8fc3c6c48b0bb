//! `o demo`: agents in processes of their own find each other and work on real files.

mod caller;
mod child;
mod event;
mod failover;
mod files;
mod library;
mod process;
mod rank;
mod search;
mod sentences;
mod show;
mod text;
mod wire;
mod words;

use std::{
    ffi::OsString,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use clap::Args;
use futures::future::try_join_all;
use o_address::TransportAddr;

use self::{
    child::{ChildArgs, SPARE},
    event::{Event, Role, Share, millis},
    process::{Process, Stage},
    show::Show,
};
use crate::{exit::Failure, output::Output, signals::Interrupt, values};

/// What to do when a step took too long.
const MORE_TIME: &str =
    "give it more time with --timeout; O_LOG=debug shows what each process does";
/// How much longer than a step of the caller its parent waits for word of it.
const GRACE: Duration = Duration::from_secs(5);

/// `o demo`.
#[derive(Clone, Debug, Args)]
#[command(after_help = "Examples:
  o demo
  o demo ~/Documents --query \"holiday plans\"
  o demo . --files 20 --json
  o demo --watch

Four nodes and a caller are started, each a process with a key of its own, on 127.0.0.1. The caller
knows one node and two capabilities. It finds the file agent and two text agents, lets the text of the
files flow from the one to the other, and shows the sentences that come back. Then it calls whoever can
work on text, again and again; one of the two text agents is killed meanwhile, and the other goes on.
Nothing leaves this machine. Hidden files, links and what .gitignore names are not read.")]
pub(crate) struct DemoArgs {
    /// A directory with text files in it, or one file
    #[arg(default_value = ".")]
    path: PathBuf,
    /// Read the files that are about these words; else those that look most important
    #[arg(long, short, value_name = "TEXT")]
    query: Option<String>,
    /// Read this many files at most
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = values::number::<u8>(1..=50, 5))]
    files: u8,
    /// How long each step may take
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = values::time)]
    timeout: Duration,
    /// Show the tree of the network too, whenever it changes
    #[arg(long, short = 'w')]
    watch: bool,
    #[command(flatten)]
    child: ChildArgs,
}

/// Runs the demo, or one of its processes.
///
/// # Errors
/// What did not work; everything that was started has ended then too.
pub(crate) async fn run(args: DemoArgs, output: &Output) -> Result<(), Failure> {
    if let Some(role) = args.child.role {
        return child::run(role, &args, output).await;
    }
    let interrupt = Interrupt::watch()?;
    let begun = Instant::now();
    let path = args.path.canonicalize().map_err(|error| {
        Failure::usage(format!("{}: {error}", args.path.display()))
            .hint("give the path of a directory with text files in it, or of one such file")
    })?;
    let network = network();
    let mut show = Show::new(output);
    show.event(&Event::Started {
        path: path.display().to_string(),
        network: network.clone(),
    })?;

    // Named after the program: everybody's temporary files are there.
    let mut stage = Stage::new(&format!("o-{network}"))?;
    let args = DemoArgs { path, ..args };
    let played = interrupt
        .during(play(&mut stage, &args, &network, &mut show))
        .await;
    let processes = stage.close().await;
    played?;
    show.event(&Event::Done {
        processes,
        elapsed_ms: millis(begun.elapsed()),
    })
}

/// A network of this demo's own: nodes of others do not answer in it, nor does it in theirs.
fn network() -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    format!("demo-{}-{:x}", std::process::id(), now.subsec_nanos())
}

async fn play(
    stage: &mut Stage,
    args: &DemoArgs,
    network: &str,
    show: &mut Show<'_>,
) -> Result<(), Failure> {
    let keys = stage.directory().to_owned();
    let flags = |role: Role, leader: Option<&TransportAddr>| -> Vec<OsString> {
        let key = keys.join(format!("{}.key", role.name()));
        let mut flags = ChildArgs::flags(role, network, &key, leader);
        flags.push(format!("--timeout={}ms", args.timeout.as_millis()).into());
        flags
    };
    let leader = ready(
        stage.start(Role::Leader, flags(Role::Leader, None))?,
        args.timeout,
    )
    .await?;
    show.event(&leader)?;
    let Event::Ready { listen, .. } = leader else {
        return Err(Failure::internal("the leader is not ready"));
    };
    let leader = listen.first();

    let mut files = flags(Role::Files, leader);
    files.extend(["--".into(), args.path.clone().into()]);
    stage.start(Role::Files, files)?;
    for role in [Role::Text, Role::Spare] {
        stage.start(role, flags(role, leader))?;
    }
    let agents = stage
        .with(&[Role::Files, Role::Text, Role::Spare])
        .map(|agent| ready(agent, args.timeout));
    for agent in try_join_all(agents).await? {
        show.event(&agent)?;
    }

    let mut caller = flags(Role::Caller, leader);
    caller.push(format!("--files={}", args.files).into());
    if let Some(query) = &args.query {
        caller.push(format!("--query={query}").into());
    }
    if args.watch {
        caller.push("--watch".into());
    }
    let caller = stage.start(Role::Caller, caller)?;
    show.event(&ready(caller, args.timeout).await?)?;
    follow(stage, args.timeout.saturating_add(GRACE), show).await
}

/// Shows what the caller does, and kills whom it can do without.
async fn follow(stage: &mut Stage, limit: Duration, show: &mut Show<'_>) -> Result<(), Failure> {
    let mut done = false;
    loop {
        let Some(caller) = stage.with(&[Role::Caller]).next() else {
            return Err(Failure::internal("there is no caller"));
        };
        let Some(event) = caller.next(limit).await? else {
            return match done {
                true => Ok(()),
                false => Err(Failure::internal(
                    "the caller ended before its work was done",
                )),
            };
        };
        show.event(&event)?;
        match event {
            Event::Failed(failed) => return Err(failed.into()),
            Event::Spread { by, .. } => {
                let pid = stage.kill(Role::Spare).await?;
                let spare = by.into_iter().find(|share| share.address.name() == SPARE);
                if let Some(Share { address, .. }) = spare {
                    let role = Role::Spare;
                    show.event(&Event::Killed { role, pid, address })?;
                }
            }
            Event::FailedOver { .. } => done = true,
            _ => {}
        }
    }
}

/// Waits until a process is up.
async fn ready(process: &mut Process, limit: Duration) -> Result<Event, Failure> {
    match process.next(limit).await? {
        Some(ready @ Event::Ready { .. }) => Ok(ready),
        _ => Err(Failure::internal("a process did not say that it is up")),
    }
}
