//! Memory of server and agent: idle, and for each running job.

use std::time::Duration;

use anyhow::Context as _;
use internal_testing::processes::{self, Pid};

use crate::table::{Better, Other, Table};

/// How many jobs run for the figure of one.
const JOBS: u32 = 4;
/// How long nothing happens before idle memory is read.
const REST: Duration = Duration::from_secs(3);

/// Memory in MiB, as proc_pid_smaps_rollup(5) counts it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    pub(crate) proportional: f64,
    pub(crate) dirty: f64,
}

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let installation = crate::installation();
    let agent = installation.agent_with("one", &["--slots", &JOBS.to_string()]);
    let server = installation.server.as_ref().context("the server is up")?.pid();
    tokio::time::sleep(REST).await;
    let idle = (memory(server)?, memory(agent.pid())?);
    rows(table, "server, idle", idle.0, 70.0, 25.0);
    rows(table, "agent, idle", idle.1, 35.0, 12.0);

    let gate = installation.wait_at_gate("go");
    let mut pipelines = Vec::new();
    for number in 0..JOBS {
        let config = format!(
            "jobs:\n  work:\n    steps:\n      - run: |\n          echo began {number}\n          {gate}\n"
        );
        let pipeline = installation.push(&config).await;
        installation.logged(&pipeline, "began").await;
        pipelines.push(pipeline);
    }
    tokio::time::sleep(REST).await;
    let busy = (memory(server)?, memory(agent.pid())?);
    let each = |busy: Memory, idle: Memory| (busy.resident - idle.resident) / f64::from(JOBS);
    let beside = |name, figure| [Other { name, figure }];
    table.row(
        "memory: server, a running job (RSS)",
        each(busy.0, idle.0),
        "MiB",
        Better::Less,
        &beside("Woodpecker", 2.2),
    );
    table.row(
        "memory: agent, a running job (RSS)",
        each(busy.1, idle.1),
        "MiB",
        Better::Less,
        &beside("Woodpecker", 0.4),
    );
    places(table, &processes::sandboxes(&installation.place_root()))?;
    installation.open_gate("go");
    for pipeline in &pipelines {
        installation.ended(pipeline).await;
    }
    Ok(())
}

fn rows(table: &mut Table, what: &str, memory: Memory, peer: f64, aim: f64) {
    let others = [
        Other {
            name: "Woodpecker",
            figure: peer,
        },
        Other {
            name: "aim",
            figure: aim,
        },
    ];
    table.row(
        &format!("memory: {what} (RSS)"),
        memory.resident,
        "MiB",
        Better::Less,
        &others,
    );
    table.row(
        &format!("memory: {what} (PSS)"),
        memory.proportional,
        "MiB",
        Better::Less,
        &[],
    );
    table.row(
        &format!("memory: {what} (dirty)"),
        memory.dirty,
        "MiB",
        Better::Less,
        &[],
    );
}

/// What the processes around the steps of a job take, on average.
fn places(table: &mut Table, sandboxes: &[Pid]) -> anyhow::Result<()> {
    let mut sums = [("sandbox", 0.0), ("GOAT", 0.0), ("task agent", 0.0)];
    for sandbox in sandboxes {
        let below = |parent: Pid| {
            processes::children(parent)
                .into_iter()
                .next()
                .context("a place is whole")
        };
        let goat = below(*sandbox)?;
        let task_agent = below(goat)?;
        for (sum, pid) in sums.iter_mut().zip([*sandbox, goat, task_agent]) {
            sum.1 += memory(pid)?.proportional;
        }
    }
    let count = f64::from(u32::try_from(sandboxes.len())?);
    for (name, sum) in sums {
        table.row(
            &format!("memory: {name} of a job (PSS)"),
            sum / count,
            "MiB",
            Better::Less,
            &[],
        );
    }
    Ok(())
}

/// The memory of a process now.
pub(crate) fn memory(pid: Pid) -> anyhow::Result<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .with_context(|| format!("the memory of process {pid} cannot be read"))?;
    let field = |name: &str| {
        let kib: Option<u32> = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
        kib.map_or(0.0, |kib| f64::from(kib) / 1024.0)
    };
    Ok(Memory {
        resident: field("Rss:"),
        proportional: field("Pss:"),
        dirty: field("Private_Dirty:") + field("Shared_Dirty:"),
    })
}
