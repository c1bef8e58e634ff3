use super::*;

fn lines() -> Lines {
    Lines::new(Escapes::Remove)
}

fn output(time: i64, step: &str, stream: Stream, text: &str) -> Event {
    let what = EventKind::StepOutput {
        job: "build".to_owned(),
        step: step.to_owned(),
        stream,
        text: text.to_owned(),
    };
    Event { time, what }
}

fn step_finished(time: i64, step: &str, exit_code: i32) -> Event {
    let what = EventKind::StepFinished {
        job: "build".to_owned(),
        step: step.to_owned(),
        exit_code,
        duration_ms: 1500,
    };
    Event { time, what }
}

fn job_finished(time: i64, outcome: Outcome, cause: Option<Cause>) -> Event {
    Event {
        time,
        what: EventKind::JobFinished {
            job: "build".to_owned(),
            outcome,
            cause,
            because: (outcome == Outcome::Skipped).then(|| "lint".to_owned()),
            duration_ms: 2500,
        },
    }
}

fn finished(time: i64, outcome: PipelineOutcome) -> Event {
    Event {
        time,
        what: EventKind::PipelineFinished { outcome, cause: None },
    }
}

#[test]
fn the_time_never_goes_back_however_clocks_differ() {
    let mut lines = lines();
    lines.render(&job_finished(1000, Outcome::Succeeded, None));
    lines.render(&job_finished(3000, Outcome::Succeeded, None));

    let late = lines.render(&step_finished(2000, "make", 0));

    assert_eq!(late, ["[build/make +2.0s] done in 1.5s"]);
}

#[test]
fn a_line_names_job_step_and_time_since_the_first_event() {
    let mut lines = lines();

    let started = lines.render(&Event {
        time: 1000,
        what: EventKind::JobStarted {
            job: "build".to_owned(),
        },
    });
    let written = lines.render(&output(13_345, "make", Stream::Stdout, "hello\n"));

    assert_eq!(started, ["[build +0.0s] started"]);
    assert_eq!(written, ["[build/make +12.3s] hello"]);
}

#[test]
fn pieces_of_a_line_are_printed_as_one_line_a_stream() {
    let mut lines = lines();

    assert!(
        lines
            .render(&output(0, "make", Stream::Stdout, "one "))
            .is_empty()
    );
    assert_eq!(
        lines.render(&output(0, "make", Stream::Stderr, "oops\n")),
        ["[build/make +0.0s] oops"]
    );
    assert_eq!(
        lines.render(&output(0, "make", Stream::Stdout, "line\nand\n\nmore")),
        [
            "[build/make +0.0s] one line",
            "[build/make +0.0s] and",
            "[build/make +0.0s]"
        ]
    );
    assert_eq!(
        lines.render(&step_finished(0, "make", 0)),
        ["[build/make +0.0s] more", "[build/make +0.0s] done in 1.5s"]
    );
}

#[test]
fn output_that_a_killed_step_left_without_a_line_end_is_printed_with_the_jobs_end() {
    let mut lines = lines();
    lines.render(&output(0, "make", Stream::Stdout, "half"));

    let ended = lines.render(&job_finished(0, Outcome::InfraFailed, Some(Cause::AgentLost)));

    assert_eq!(ended.first().map(String::as_str), Some("[build/make +0.0s] half"));
}

#[test]
fn lines_and_what_is_kept_of_a_piece_take_no_more_memory_than_their_text() {
    let mut job = Job::default();
    let text = format!("{}half", "line\n".repeat(10_000));

    let lines = job.take("make", Stream::Stdout, &text);

    assert_eq!(lines, vec!["line"; 10_000]);
    let most = lines.iter().map(String::capacity).max();
    assert!(most.is_some_and(|most| most <= 64), "{most:?}");
    let kept: Vec<(&str, bool)> = job
        .unfinished
        .values()
        .map(|kept| (kept.as_str(), kept.capacity() <= 64))
        .collect();
    assert_eq!(kept, [("half", true)]);
}

#[test]
fn output_is_rendered_in_small_parts_that_give_the_same_lines() {
    let long = "x".repeat(2 * PART);
    for text in [
        String::new(),
        "short".to_owned(),
        "\n".repeat(5 * PART),
        "line\n".repeat(PART),
        format!("a\n{long}\nb\n{long}"),
        long,
    ] {
        let whole = lines().render(&output(0, "make", Stream::Stdout, &text));

        let mut parted = lines();
        let rendered: Vec<String> = parts(&text)
            .flat_map(|part| parted.render_output(0, ("build", "make", Stream::Stdout), part))
            .collect();

        assert_eq!(rendered, whole);
        let longest_line = text.lines().map(str::len).max().unwrap_or(0);
        let longest_part = parts(&text).map(str::len).max().unwrap_or(0);
        assert!(longest_part <= PART + longest_line + 1, "{longest_part}");
    }
}

#[test]
fn a_line_without_end_is_printed_in_pieces() {
    let mut lines = lines();

    let printed = lines.render(&output(0, "make", Stream::Stdout, &"x".repeat(LONGEST + 1)));

    assert_eq!(printed.len(), 1);
}

#[test]
fn a_failure_is_said_once_more_at_the_end_with_its_last_lines() {
    let mut lines = lines();
    let many: String = (0..30).map(|number| format!("line {number}\n")).collect();
    lines.render(&output(0, "make", Stream::Stdout, &many));
    lines.render(&step_finished(0, "make", 3));
    // A step with `when: always` after the failing one does not hide it.
    lines.render(&output(0, "clean up", Stream::Stdout, "tidy\n"));
    lines.render(&job_finished(0, Outcome::Failed, Some(Cause::Exit { code: 3 })));

    let summary = lines.render(&finished(3000, PipelineOutcome::Failed));

    assert_eq!(summary[1], "build failed: a step exited with code 3");
    assert_eq!(summary[2], "  hint: read the failing step's last lines");
    assert_eq!(summary[3], "  the last lines of step `make`:");
    assert_eq!(summary[4], "    line 10");
    assert_eq!(summary[3 + TAIL], "    line 29");
    assert_eq!(
        summary.last().map(String::as_str),
        Some("pipeline failed after 3.0s")
    );
}

#[test]
fn a_job_that_failed_without_a_failing_step_shows_the_latest_one() {
    let mut lines = lines();
    lines.render(&output(0, "one", Stream::Stdout, "first\n"));
    lines.render(&step_finished(0, "one", 0));
    lines.render(&output(0, "two", Stream::Stdout, "second\n"));
    lines.render(&job_finished(
        0,
        Outcome::InfraFailed,
        Some(Cause::TaskAgentLost { signal: Some(9) }),
    ));

    let summary = lines.render(&finished(0, PipelineOutcome::InfraFailed));

    assert!(summary.contains(&"    second".to_owned()), "{summary:?}");
    assert!(!summary.contains(&"    first".to_owned()), "{summary:?}");
}

#[test]
fn a_skipped_job_says_so_and_is_no_failure_of_its_own() {
    let mut lines = lines();

    let ended = lines.render(&job_finished(0, Outcome::Skipped, None));
    let summary = lines.render(&finished(0, PipelineOutcome::Failed));

    assert_eq!(ended, ["[build +0.0s] skipped: `lint` did not end as required"]);
    assert_eq!(summary, ["", "  build  skipped", "pipeline failed after 0.0s"]);
}

#[test]
fn a_pipeline_without_a_plan_says_why() {
    let cause = Cause::Clone {
        message: "no such repository".to_owned(),
        certain: true,
    };
    let what = EventKind::PipelineFinished {
        outcome: PipelineOutcome::InfraFailed,
        cause: Some(cause),
    };

    let summary = lines().render(&Event { time: 0, what });

    assert!(
        summary.iter().any(|text| text.contains("no such repository")),
        "{summary:?}"
    );
}

#[test]
fn a_second_attempt_says_its_number() {
    let what = EventKind::JobPhase {
        job: "build".to_owned(),
        phase: "starting".to_owned(),
        attempt: 2,
        detail: String::new(),
    };

    assert_eq!(
        lines().render(&Event { time: 0, what }),
        ["[build +0.0s] starting (attempt 2)"]
    );
}
