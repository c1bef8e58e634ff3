//! The plan of a task, decided by seed and number alone.

use sys::process::Signal;

use super::plan::{
    Action, Answer, Deed, Ending, Entrypoint, Fault, OnTerm, Output, Plan, Position, Readiness, Start,
};
use crate::dice::{About, Dice};

/// Signals that GOAT takes everywhere and that never end it.
const HARMLESS: [Signal; 12] = [
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGWINCH,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
    Signal::SIGALRM,
    Signal::SIGIO,
    Signal::SIGPWR,
];
/// Signals that end other processes, and never the init of a namespace when they come from inside it.
const DEADLY: [Signal; 8] = [
    Signal::SIGKILL,
    Signal::SIGSTOP,
    Signal::SIGSEGV,
    Signal::SIGABRT,
    Signal::SIGPIPE,
    Signal::SIGVTALRM,
    Signal::SIGSYS,
    Signal::SIGXCPU,
];

impl Plan {
    /// The plan of task `number`.
    pub(crate) fn draw(seed: u64, number: u64) -> Self {
        let mut dice = Dice::new(seed, About::Goat, number);
        let position = dice.weighted(&[(1, Position::Init), (1, Position::Child)]);
        let mut plan = Self {
            number,
            position,
            config_file: dice.between(0, 2) == 0,
            entrypoint: dice.weighted(&[
                (20, None),
                (1, Some(Entrypoint::Missing)),
                (2, Some(Entrypoint::Ends)),
                (3, Some(Entrypoint::Deaf)),
            ]),
            readiness: None,
            start: dice.weighted(&[(30, Start::Runs), (1, Start::Missing), (1, Start::NotExecutable)]),
            deeds: Vec::new(),
            ending: ending(&mut dice),
            on_term: OnTerm::Dies,
            notify: dice.between(0, 2) > 0,
            unsafe_retries: dice.between(0, 9) == 0,
            share_instance: dice.between(0, 1) == 0,
            delay: dice.weighted(&[(4, 0), (1, 20)]),
            grace: dice.between(20, 120),
            unclaim: dice.weighted(&[
                (6, Answer::Status(200)),
                (2, Answer::Status(204)),
                (2, Answer::Status(409)),
                (1, Answer::Status(410)),
                (1, Answer::Status(403)),
            ]),
            fail: dice.weighted(&[
                (8, Answer::Status(200)),
                (2, Answer::Status(204)),
                (1, Answer::Status(410)),
                (1, Answer::Status(400)),
            ]),
            faults: Vec::new(),
            actions: Vec::new(),
            output: dice.weighted(&[
                (12, Output::File),
                (2, Output::Disk),
                (2, Output::Pipe(80)),
                (1, Output::Stuck),
            ]),
            token: 40,
        };
        if plan.config_file && dice.between(0, 3) == 0 {
            // More than a pipe holds.
            plan.token = 200_000;
        }
        plan.draw_deeds(&mut dice);
        plan.draw_faults(&mut dice);
        plan.draw_actions(&mut dice);
        plan
    }

    fn draw_deeds(&mut self, dice: &mut Dice) {
        self.on_term = dice.weighted(&[
            (2, OnTerm::Dies),
            (2, OnTerm::Exits(0)),
            (1, OnTerm::Exits(3)),
            (1, OnTerm::Ignores),
            (4, OnTerm::ExitsAtTheLast(0)),
            (1, OnTerm::ExitsAtTheLast(4)),
        ]);
        for _ in 0..dice.between(0, 4) {
            let signal = match self.position {
                Position::Init if dice.between(0, 1) == 0 => one_of(dice, &DEADLY),
                _ => one_of(dice, &HARMLESS),
            };
            let (few, bytes, pause) = (dice.between(1, 20), dice.between(1, 300_000), dice.between(1, 60));
            self.deeds.push(dice.weighted(&[
                (4, Deed::Orphans(few)),
                (3, Deed::Daemons(1 + few / 5)),
                (1, Deed::Stopped),
                (2, Deed::HoldStreams),
                (2, Deed::FloodStderr(bytes)),
                (1, Deed::FloodStdout(bytes)),
                (1, Deed::Babbler),
                (3, Deed::FillDisk),
                (3, Deed::Signal(signal)),
                (1, Deed::Interrupt(Signal::SIGTERM)),
                (1, Deed::Interrupt(Signal::SIGINT)),
                (4, Deed::Pause(pause)),
            ]));
        }
    }

    fn draw_faults(&mut self, dice: &mut Dice) {
        if dice.between(0, 2) > 0 {
            return;
        }
        for _ in 0..dice.between(1, 3) {
            self.faults.push(dice.weighted(&[
                (2, Fault::Closed),
                (2, Fault::Unanswered),
                (1, Fault::Status(500)),
                (1, Fault::Status(503)),
                (1, Fault::Status(429)),
                (1, Fault::Garbage),
                (1, Fault::CutOff),
                (1, Fault::Away(150)),
            ]));
        }
    }

    fn draw_actions(&mut self, dice: &mut Dice) {
        for _ in 0..dice.between(0, 3) {
            let when = dice.between(0, 150);
            let signal = one_of(dice, &HARMLESS);
            let what = dice.weighted(&[
                (4, Action::Signal(signal)),
                (3, Action::Interrupt(Signal::SIGTERM, 1)),
                (1, Action::Interrupt(Signal::SIGINT, 1)),
                (1, Action::Interrupt(Signal::SIGTERM, 3)),
                (1, Action::Freeze(30)),
                (2, Action::KillAgent),
                (3, Action::KillSomebody),
                (1, Action::KillGoat),
                (2, Action::Probe),
                (1, Action::HoldPort),
            ]);
            // Elsewhere nobody promises anything about it. `unshare` has something to say then, and waits for a reader.
            let kills_goat = self.position == Position::Init && self.output != Output::Stuck;
            if what != Action::KillGoat || kills_goat {
                self.actions.push((when, what));
            }
        }
        let interrupted = self.is_interrupted();
        if interrupted && dice.between(0, 60) == 0 {
            self.fail = Answer::Never;
            self.unclaim = Answer::Never;
        }
        self.readiness = match (dice.between(0, 9), interrupted) {
            (0, true) => Some(Readiness::Never),
            (1, _) => Some(Readiness::There),
            (2 | 3, _) => Some(Readiness::After(dice.between(0, 120))),
            _ => None,
        };
        // Who waits for ever, or for a reader who never reads, needs somebody who ends it.
        let stuck = self.output == Output::Stuck || self.ending == Ending::Waits;
        if stuck && !interrupted {
            let when = dice.between(0, 150);
            let what = dice.weighted(&[(5, Action::Interrupt(Signal::SIGTERM, 1)), (1, Action::KillAgent)]);
            self.actions.push((when, what));
        }
        self.actions.sort_by_key(|(when, _)| *when);
    }

    /// Whether TERM or INT is sent from outside.
    fn is_interrupted(&self) -> bool {
        self.actions
            .iter()
            .any(|(_, action)| matches!(action, Action::Interrupt(..)))
    }
}

fn ending(dice: &mut Dice) -> Ending {
    dice.weighted(&[
        (8, Ending::Exit(0)),
        (2, Ending::Exit(1)),
        (1, Ending::Exit(126)),
        (1, Ending::Exit(137)),
        (1, Ending::Exit(255)),
        (1, Ending::Signal(Signal::SIGKILL)),
        (1, Ending::Signal(Signal::SIGSEGV)),
        (1, Ending::Signal(Signal::SIGABRT)),
        (1, Ending::Signal(Signal::SIGHUP)),
        (5, Ending::Waits),
    ])
}

fn one_of(dice: &mut Dice, signals: &[Signal]) -> Signal {
    let choices: Vec<(u64, Signal)> = signals.iter().map(|signal| (1, *signal)).collect();
    dice.weighted(&choices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plans_the_same_and_every_task_can_end() {
        for number in 0..2000 {
            let plan = Plan::draw(7, number);

            assert_eq!(format!("{plan:?}"), format!("{:?}", Plan::draw(7, number)));
            let ended_by_us = plan
                .actions
                .iter()
                .any(|(_, action)| matches!(action, Action::Interrupt(..) | Action::KillAgent));
            assert!(plan.ending != Ending::Waits || ended_by_us, "{plan:?}");
        }
    }
}
