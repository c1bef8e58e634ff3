//! The kinds of pipelines that make the load, and how each ends when nobody disturbs it.

use std::fmt::Write as _;
use std::time::Duration;

use api::Outcome;

use crate::dice::{About, Dice};

/// A pipeline to push.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    /// Its number in the load.
    pub(crate) number: u64,
    /// Its kind, for people.
    pub(crate) kind: Kind,
    /// Its config.
    pub(crate) config: String,
    /// Its jobs; none where the config is broken.
    pub(crate) jobs: Vec<JobSpec>,
    /// When it is cancelled, counted from the push.
    pub(crate) cancel_after: Option<Duration>,
}

/// A job, and how it ends by itself.
#[derive(Debug, Clone)]
pub(crate) struct JobSpec {
    pub(crate) name: &'static str,
    /// Its own outcome.
    pub(crate) own: Outcome,
    /// Whether it has `retry: infra`.
    pub(crate) retry: bool,
    /// Its `run` steps that speak to the witness.
    pub(crate) steps: Vec<StepSpec>,
    /// The artifact that it uploads.
    pub(crate) artifact: Option<&'static str>,
    /// The job that it needs, and with which outcome.
    pub(crate) needs: Option<(&'static str, Outcome)>,
}

/// A step, and what it writes.
#[derive(Debug, Clone)]
pub(crate) struct StepSpec {
    pub(crate) name: &'static str,
    /// How many numbered lines it writes.
    pub(crate) lines: u32,
}

/// What a pipeline is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Quick,
    Slow,
    Failing,
    Chain,
    Artifact,
    Chatty,
    Retried,
    Cancelled,
    Daemons,
    Checkout,
    Limited,
    Broken,
}

const WEIGHTS: [(u64, Kind); 12] = [
    (4, Kind::Quick),
    (3, Kind::Slow),
    (2, Kind::Failing),
    (3, Kind::Chain),
    (3, Kind::Artifact),
    (3, Kind::Chatty),
    (4, Kind::Retried),
    (3, Kind::Cancelled),
    (2, Kind::Daemons),
    (3, Kind::Checkout),
    (1, Kind::Limited),
    (1, Kind::Broken),
];

impl Spec {
    /// Pipeline `number` of a seed; its steps speak to the witness on `port`.
    pub(crate) fn new(seed: u64, number: u64, port: u16) -> Self {
        let mut dice = Dice::new(seed, About::Load, number);
        let kind = dice.weighted(&WEIGHTS);
        let mut writer = Writer {
            number,
            port,
            text: format!("# {number}\njobs:\n"),
            jobs: Vec::new(),
        };
        let mut cancel_after = None;
        match kind {
            Kind::Quick => writer.job("work").step("a", 3, "").close(),
            Kind::Slow => writer
                .job("work")
                .slow("a", &mut dice)
                .slow("b", &mut dice)
                .close(),
            Kind::Failing => writer
                .job("work")
                .own(Outcome::Failed)
                .slow_then("a", &mut dice, "exit 3")
                .always("b", 5)
                .close(),
            Kind::Chain => {
                writer.job("first").slow("a", &mut dice).close();
                writer
                    .job("second")
                    .needs("first", Outcome::Succeeded)
                    .slow("a", &mut dice)
                    .close();
                writer
                    .job("other")
                    .needs("first", Outcome::Failed)
                    .step("a", 3, "")
                    .close();
            }
            Kind::Artifact => writer.job("work").artifact(dice.between(1, 3000)).close(),
            Kind::Chatty => writer
                .job("work")
                .many_lines("a", dice.between(2000, 20_000))
                .close(),
            Kind::Retried => writer
                .job("work")
                .retry()
                .slow("a", &mut dice)
                .slow("b", &mut dice)
                .close(),
            Kind::Cancelled => {
                writer
                    .job("work")
                    .slow_then("a", &mut dice, "trap '' TERM; sleep 2; sleep 2")
                    .close();
                cancel_after = Some(Duration::from_millis(dice.between(0, 3000)));
            }
            Kind::Daemons => writer
                .job("work")
                .retry()
                // They hold the step's connection to the witness, so one that outlives its place is seen.
                .step(
                    "a",
                    3,
                    "(trap '' TERM; sleep 300) & setsid sleep 300 >/dev/null 2>&1 & (setsid sh -c 'sleep 300 & sleep 300' &)",
                )
                .close(),
            Kind::Checkout => writer.job("work").checkout().slow("a", &mut dice).close(),
            Kind::Limited => writer
                .job("work")
                .own(Outcome::TimedOut)
                .limited()
                .slow_then("a", &mut dice, "sleep 60")
                .close(),
            Kind::Broken => writer.text.push_str("  work:\n    stops: []\n"),
        }
        Self {
            number,
            kind,
            config: writer.text,
            jobs: writer.jobs,
            cancel_after,
        }
    }
}

/// Writes a config.
struct Writer {
    number: u64,
    port: u16,
    text: String,
    jobs: Vec<JobSpec>,
}

/// Writes a job of it.
struct JobWriter<'a> {
    writer: &'a mut Writer,
    keys: String,
    steps: String,
    job: JobSpec,
}

impl Writer {
    fn job(&mut self, name: &'static str) -> JobWriter<'_> {
        JobWriter {
            writer: self,
            keys: String::new(),
            steps: String::new(),
            job: JobSpec {
                name,
                own: Outcome::Succeeded,
                retry: false,
                steps: Vec::new(),
                artifact: None,
                needs: None,
            },
        }
    }
}

impl JobWriter<'_> {
    fn own(mut self, outcome: Outcome) -> Self {
        self.job.own = outcome;
        self
    }

    fn retry(mut self) -> Self {
        self.job.retry = true;
        self.keys.push_str("    retry: infra\n");
        self
    }

    fn limited(mut self) -> Self {
        self.keys.push_str("    time_limit: 6s\n");
        self
    }

    fn needs(mut self, job: &'static str, outcome: Outcome) -> Self {
        self.job.needs = Some((job, outcome));
        writeln!(self.keys, "    requires: {{{job}: [{outcome}]}}").expect("a text grows");
        self
    }

    /// A step that writes numbered lines in no time, and then does more.
    fn step(self, name: &'static str, lines: u64, more: &str) -> Self {
        self.run(
            name,
            lines,
            "on_success",
            &format!("seq -f \"~ $x %.0f\" 1 {lines}"),
            more,
        )
    }

    fn always(self, name: &'static str, lines: u64) -> Self {
        self.run(
            name,
            lines,
            "always",
            &format!("seq -f \"~ $x %.0f\" 1 {lines}"),
            "",
        )
    }

    fn many_lines(self, name: &'static str, lines: u64) -> Self {
        self.step(name, lines, "")
    }

    /// A step that writes a line every tenth of a second.
    fn slow(self, name: &'static str, dice: &mut Dice) -> Self {
        self.slow_then(name, dice, "")
    }

    fn slow_then(self, name: &'static str, dice: &mut Dice, more: &str) -> Self {
        let lines = dice.between(2, 20);
        let write = format!("for i in $(seq {lines}); do echo \"~ $x $i\"; sleep 0.1; done");
        self.run(name, lines, "on_success", &write, more)
    }

    fn artifact(mut self, kib: u64) -> Self {
        self.job.artifact = Some("out/data");
        let make = format!(
            "head -c {}K /dev/urandom > data; sum=$(sha256sum < data | cut -c 1-64); echo \"# out/data $sum\"",
            kib
        );
        let mut this = self.step("a", 5, &make);
        this.steps
            .push_str("      - upload: {source: data, destination: out/data, when: on_success}\n");
        this
    }

    fn checkout(mut self) -> Self {
        self.steps.push_str("      - checkout\n");
        let number = self.writer.number;
        self.run(
            "files",
            1,
            "on_success",
            "echo \"~ $x 1\"",
            &format!("grep -qx '# {number}' .ci.yml"),
        )
    }

    fn run(mut self, name: &'static str, lines: u64, when: &str, write: &str, more: &str) -> Self {
        let Writer { number, port, .. } = *self.writer;
        let job = self.job.name;
        let command = [
            format!("exec 9<>/dev/tcp/127.0.0.1/{port}"),
            // Each of these in an assignment of its own, so that the step fails where one of them is killed.
            "x=$(</proc/sys/kernel/random/uuid)".to_owned(),
            "start=$(cut -d' ' -f 22 /proc/1/stat)".to_owned(),
            "place=$start$(readlink /proc/self/ns/pid)".to_owned(),
            format!("echo \"begin {number}/{job} {name} $x $place\" >&9; read -r -u 9 _"),
            write.to_owned(),
            "echo \"end $x\" >&9; read -r -u 9 _".to_owned(),
            more.to_owned(),
        ]
        .join("\n            ");
        write!(
            self.steps,
            "      - run:\n          name: {name}\n          when: {when}\n          command: |\n            {command}\n"
        )
        .expect("a text grows");
        self.job.steps.push(StepSpec {
            name,
            lines: u32::try_from(lines).expect("a step writes few lines"),
        });
        self
    }

    fn close(self) {
        let Self {
            writer,
            keys,
            steps,
            job,
        } = self;
        write!(writer.text, "  {}:\n{keys}    steps:\n{steps}", job.name).expect("a text grows");
        writer.jobs.push(job);
    }
}
