//! Step types: a file each, with its keys, its checks and its lowering to the operations of the task agent.
//!
//! To add one: write `steps/NAME.rs` and add it to [`STEPS`].

mod checkout;
mod run;
mod upload;

use api::operation::{Step, When};

use crate::check::{Checker, Fields, Schema};
use crate::config::Names;
use crate::diagnostic::{Code, Problem, quote};
use crate::source::Span;
use crate::tree::{Entry, Kind, Node};

/// All step types.
pub(crate) const STEPS: &[StepType] = &[checkout::STEP, run::STEP, upload::STEP];

/// Step types that CircleCI has and we do not yet, and what does their work today.
const LATER: &[(&str, Option<&str>)] = &[
    ("add_ssh_keys", None),
    ("attach_workspace", None),
    ("deploy", Some("use `run` for it")),
    ("persist_to_workspace", None),
    ("restore_cache", None),
    ("save_cache", None),
    ("setup_remote_docker", None),
    (
        "store_artifacts",
        Some("use `upload: {source: PATH, destination: NAME}`"),
    ),
    (
        "store_test_results",
        Some("keep the reports with `upload: {source: PATH}`"),
    ),
    ("type", Some("write the step's type as its key: `run: COMMAND`")),
    ("unless", None),
    ("when", None),
];

/// The longest name that a step gets from its command, in characters.
const LONGEST_NAME: usize = 200;

/// A step type.
#[derive(Debug)]
pub(crate) struct StepType {
    /// The word that a config uses.
    pub(crate) name: &'static str,
    /// Its keys.
    pub(crate) schema: Schema,
    /// What the step does; none after an error that was reported.
    lower: fn(&Body<'_>, &mut Checker<'_>) -> Option<Step>,
}

/// What a config says of one step.
#[derive(Debug)]
pub(crate) struct Body<'n> {
    /// Where its type stands.
    span: Span,
    /// How it is given.
    form: Form<'n>,
}

#[derive(Debug)]
enum Form<'n> {
    /// `- checkout`.
    Word,
    /// `- run: make`.
    Text(&'n Node),
    /// `- run: {command: make}`.
    Fields(Fields<'n>),
}

impl<'n> Body<'n> {
    fn get(&self, key: &str) -> Option<&'n Node> {
        match &self.form {
            Form::Fields(fields) => fields.get(key),
            Form::Word | Form::Text(_) => None,
        }
    }

    /// A key's text on one line, where it has one.
    fn line(&self, key: &str, checker: &mut Checker<'_>) -> Option<String> {
        let node = self.get(key)?;
        checker.line(node, &format!("`{key}`")).map(|text| text.value)
    }

    /// `name`, or what it is called without one.
    fn name(&self, default: impl FnOnce() -> String, checker: &mut Checker<'_>) -> String {
        self.line("name", checker).unwrap_or_else(default)
    }

    /// `when`, or the step type's own rule.
    fn when(&self, default: When, checker: &mut Checker<'_>) -> When {
        const CHOICES: &[(&str, When)] = &[
            ("on_success", When::OnSuccess),
            ("always", When::Always),
            ("on_fail", When::OnFail),
        ];
        self.get("when")
            .and_then(|node| checker.choice(node, "`when`", CHOICES))
            .unwrap_or(default)
    }

    /// Reports a missing key, unless a misspelt one can be it.
    fn missing(&self, what: &str, key: &str, hint: &str, checker: &mut Checker<'_>) {
        if let Form::Fields(fields) = &self.form
            && !fields.lacks(key)
        {
            return;
        }
        checker.missing(self.span, what, key, hint);
    }
}

/// Reads the `steps` of a job.
pub(crate) fn read(entry: &Entry, names: &Names<'_>, checker: &mut Checker<'_>) -> Vec<Step> {
    if entry.value.is_nothing() {
        empty(entry, checker);
        return Vec::new();
    }
    let Some(items) = checker.list(&entry.value, "`steps`") else {
        return Vec::new();
    };
    if items.is_empty() {
        empty(entry, checker);
    }
    items
        .iter()
        .filter_map(|item| read_step(item, names, checker))
        .collect()
}

fn empty(entry: &Entry, checker: &mut Checker<'_>) {
    let problem = Problem::error(Code::Empty, entry.key_span, "`steps` lists no step");
    checker.report(problem.suggest("add at least one: `- run: COMMAND`"));
}

fn read_step(item: &Node, names: &Names<'_>, checker: &mut Checker<'_>) -> Option<Step> {
    let Kind::Mapping(entries) = &item.kind else {
        let hint = "write a step as `- checkout` or `- run: COMMAND`";
        if item.text().is_none() || item.is_nothing() {
            checker.wrong_type(item, "a step", "a word or a mapping", Some(hint));
            return None;
        }
        let word = checker.full_text(item, "a step")?;
        let found = step_type(&word.value, item.span, names, checker)?;
        let body = Body {
            span: item.span,
            form: Form::Word,
        };
        return (found.lower)(&body, checker);
    };
    let entry = match entries.as_slice() {
        [one] => one,
        [first, ..] => {
            several_keys(item, first, entries, checker);
            return None;
        }
        [] => {
            let problem = Problem::error(Code::Empty, item.span, "this step says nothing");
            checker.report(problem.suggest("write a step as `- run: COMMAND`"));
            return None;
        }
    };
    let found = step_type(&entry.key, entry.key_span, names, checker)?;
    let form = match &entry.value.kind {
        _ if entry.value.is_nothing() => Form::Word,
        Kind::Scalar(_) => Form::Text(&entry.value),
        _ => Form::Fields(checker.fields(&entry.value, &found.schema)?),
    };
    let body = Body {
        span: entry.key_span,
        form,
    };
    (found.lower)(&body, checker)
}

/// A step with more than one key: most often the keys of its type stand one level too far left.
fn several_keys(item: &Node, first: &Entry, entries: &[Entry], checker: &mut Checker<'_>) {
    let kind = STEPS.iter().find_map(|step| {
        entries
            .iter()
            .find(|entry| &*entry.key == step.name)
            .map(|entry| (step, entry))
    });
    let (at, hint) = match kind {
        Some((step, entry)) if step.schema.keys.contains(&"command") => {
            let other = entries
                .iter()
                .find(|other| other.key != entry.key)
                .unwrap_or(first);
            let hint = "write `run: {command: ..., name: ...}`, or indent its keys further than `run:`";
            (other.key_span, hint.to_owned())
        }
        Some((step, entry)) => {
            let other = entries
                .iter()
                .find(|other| other.key != entry.key)
                .unwrap_or(first);
            (
                other.key_span,
                format!("indent its keys further than `{}:`", step.name),
            )
        }
        None => {
            let known = LATER.iter().find(|(name, _)| *name == &*first.key);
            let hint = known.and_then(|(_, instead)| *instead);
            (
                item.span,
                hint.unwrap_or("a step's one key is its type: `- run: COMMAND`")
                    .to_owned(),
            )
        }
    };
    let message = format!("a step has one key, its type; this has {}", entries.len());
    checker.report(Problem::error(Code::WrongType, at, message).suggest(hint));
}

fn step_type(
    name: &str,
    span: Span,
    names: &Names<'_>,
    checker: &mut Checker<'_>,
) -> Option<&'static StepType> {
    if let Some(found) = STEPS.iter().find(|step| step.name == name) {
        return Some(found);
    }
    let quoted = quote(name);
    if let Some((_, instead)) = LATER.iter().find(|(later, _)| *later == name) {
        checker.not_supported_but(span, &format!("the step type {quoted}"), *instead);
        return None;
    }
    if names.is_of_orb(name) {
        checker.not_supported(span, &format!("the step {quoted} of an orb"));
        return None;
    }
    if names.commands.contains(name) {
        checker.not_supported(span, &format!("the command {quoted} as a step"));
        return None;
    }
    let known = || STEPS.iter().map(|step| step.name);
    let all = known().chain(LATER.iter().map(|(later, _)| *later));
    let suggestion = checker.did_you_mean(name, all).unwrap_or_else(|| {
        let known: Vec<String> = known().map(quote).collect();
        format!("there are {}", known.join(", "))
    });
    let problem = Problem::error(Code::UnknownStep, span, format!("unknown step type {quoted}"));
    checker.report(problem.suggest(suggestion));
    None
}

/// The first line of a text that says something, shortened.
fn first_line(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("");
    let clean = |found: char| if found.is_control() { ' ' } else { found };
    let mut name: String = line.chars().take(LONGEST_NAME).map(clean).collect();
    if line.chars().nth(LONGEST_NAME).is_some() {
        name.push('…');
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_step_type_is_both_here_and_to_come() {
        for step in STEPS {
            assert!(LATER.iter().all(|(later, _)| *later != step.name));
        }
    }

    #[test]
    fn a_steps_name_is_the_first_line_that_says_something() {
        assert_eq!(first_line("\n  make\ttest \nmore"), "make test");
        assert_eq!(first_line(&"x".repeat(300)).chars().count(), LONGEST_NAME + 1);
    }
}
