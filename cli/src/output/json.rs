//! Events for programs: one JSON object a line, as the people's API sends them.

use api::people::Event;
use serde::Serialize;

/// One event as one line.
pub(crate) fn render(event: &Event) -> String {
    to_line(event)
}

/// Any plain data as one line.
pub(crate) fn to_line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what the API sends is plain data")
}

#[cfg(test)]
mod tests {
    use api::people::EventKind;
    use api::runner::task::Stream;
    use api::{Cause, Outcome, PipelineOutcome};
    use serde_json::{Value, json};

    use super::*;

    fn rendered(what: EventKind) -> Value {
        let line = render(&Event { time: 7, what });
        assert!(!line.contains('\n'));
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn each_event_has_its_name_its_time_and_its_fields() {
        let job = || "build".to_owned();

        assert_eq!(
            rendered(EventKind::JobStarted { job: job() }),
            json!({"event": "job.started", "time": 7, "job": "build"})
        );
        assert_eq!(
            rendered(EventKind::StepOutput {
                job: job(),
                step: "make".to_owned(),
                stream: Stream::Stdout,
                text: "a\nb".to_owned()
            }),
            json!({"event": "step.output", "time": 7, "job": "build", "step": "make", "stream": "stdout", "text": "a\nb"})
        );
        assert_eq!(
            rendered(EventKind::StepFinished {
                job: job(),
                step: "make".to_owned(),
                exit_code: 3,
                duration_ms: 5
            }),
            json!({"event": "step.finished", "time": 7, "job": "build", "step": "make", "exit_code": 3, "duration_ms": 5})
        );
    }

    #[test]
    fn a_cause_is_null_or_typed() {
        let finished = |outcome, cause| {
            rendered(EventKind::JobFinished {
                job: "build".to_owned(),
                outcome,
                cause,
                because: None,
                duration_ms: 5,
            })
        };

        assert_eq!(finished(Outcome::Succeeded, None)["cause"], Value::Null);
        assert_eq!(finished(Outcome::Skipped, None)["outcome"], "skipped");
        assert_eq!(
            finished(Outcome::Failed, Some(Cause::Exit { code: 3 }))["cause"],
            json!({"kind": "exit", "code": 3})
        );
        assert_eq!(
            rendered(EventKind::PipelineFinished {
                outcome: PipelineOutcome::Failed,
                cause: None
            }),
            json!({"event": "pipeline.finished", "time": 7, "outcome": "failed"})
        );
    }
}
