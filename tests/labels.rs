//! Labels of real containers: they leave a container out, ask for a human, forbid its restart, and never loosen what the
//! configuration says.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use serde_json::Value;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use support::{Container, Docker, Ran, Root, healer, spawn};

/// A container that says healer.enable=true is looked at by every test on this engine.
static SHARED: RwLock<()> = RwLock::new(());

fn among_others() -> RwLockReadGuard<'static, ()> {
    SHARED.read().unwrap_or_else(PoisonError::into_inner)
}

fn alone() -> RwLockWriteGuard<'static, ()> {
    SHARED.write().unwrap_or_else(PoisonError::into_inner)
}

/// A log full of errors, a file that a container mounts with its directory, and a rule that edits it and restarts what
/// the case says.
struct Case {
    root: Root,
    container: Container,
    started: String,
}

impl Case {
    /// `{name}` in the step becomes the container's name; a step that is empty leaves the edit alone.
    fn new(docker: &Docker, labels: &[&str], top: &str, step: &str) -> Case {
        let root = Root::new();
        root.write("worker/settings.toml", "pause = 1.0\n");
        root.append("worker.log", support::RATE_LIMITED.repeat(20));
        let name = Docker::unique_name("labelled");
        let volume = format!("--volume={}:/settings", root.path("worker").display());
        let mut options = vec![volume];
        options.extend(labels.iter().map(|label| format!("--label={}", label.replace("{name}", &name))));
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let container = docker.run(&name, &options, &["/bin/sleep", "600"]);
        root.config(&format!(
            "{top}\n[allow]\nfiles = [\"{{root}}/worker/*\"]\ncontainers = [\"*\"]\n[checks.host]\nenabled = false\n\
             [checks.docker]\nsocket = \"{socket}\"\ninclude = [\"{name}\"]\n[logs.files.worker]\n\
             path = \"{{root}}/worker.log\"\n[limits]\nstart_grace = \"0s\"\nhuman_grace = \"0s\"\n\
             min_duration = \"0s\"\n[[rule]]\nname = \"slow-down\"\n\
             when = {{ log = \"file:worker\", signature = \"rate_limit\", count = 5, within = \"10m\" }}\n\
             issue_type = \"rate_limiting\"\nconfidence = 90\n[[rule.fix]]\nfix_type = \"increase_delay\"\n\
             steps = [{{ edit = \"{{root}}/worker/settings.toml\", at = \"pause\", multiply = 1.5, max = 5.0 }}, {step}]\n\
             [rule.validate]\nsettle = \"100ms\"\nwindow = \"500ms\"\nmax_window = \"1s\"\n",
            socket = docker.socket,
            step = step.replace("{name}", &name),
        ));
        let started = container.inspect("{{.State.StartedAt}}");
        Case { root, container, started }
    }

    fn heal(&self, args: &[&str]) -> Ran {
        let args: Vec<&str> = ["heal", "--json"].iter().chain(args).copied().collect();
        healer(&self.root, &args)
    }

    /// What a pass made of the errors; a container with a strange label is trouble of its own beside it.
    #[track_caller]
    fn diagnosis(ran: Ran) -> Value {
        let data = ran.expect_code(10).data();
        let all = data["diagnoses"].as_array().unwrap();
        all.iter().find(|d| d["rule"] == "slow-down").cloned().unwrap_or_default()
    }

    #[track_caller]
    fn assert_held(&self, diagnosis: &Value, word: &str, reason: &str) {
        let reason = reason.replace("{name}", &self.container.name);
        assert_eq!((&diagnosis["hold"], &diagnosis["hold_reason"]), (&word.into(), &reason.into()));
        self.assert_untouched();
    }

    #[track_caller]
    fn assert_untouched(&self) {
        assert_eq!(self.root.read_text("worker/settings.toml"), "pause = 1.0\n");
        assert_eq!(self.container.inspect("{{.State.StartedAt}}"), self.started, "it was restarted");
        let backups = std::fs::read_dir(self.root.state_dir().join("backups"));
        assert!(backups.map_or(true, |mut entries| entries.next().is_none()));
    }

    #[track_caller]
    fn assert_healed(&self, ran: Ran, restarted: bool) {
        let output = ran.output();
        assert_eq!(self.root.read_text("worker/settings.toml"), "pause = 1.5\n", "{output}");
        assert_eq!(self.container.inspect("{{.State.StartedAt}}") != self.started, restarted, "{output}");
    }
}

const RESTART: &str = r#"{ restart = "container:{name}" }"#;

#[test]
fn a_label_holds_the_plan_before_anything_is_written_and_the_reason_names_it() {
    let Some(docker) = Docker::require() else { return };
    let _engine = among_others();
    let check = |label: &str, step: &str, word: &str, reason: &str, approvable: bool| {
        let case = Case::new(&docker, &[label], "", step);
        let diagnosis = Case::diagnosis(case.heal(&["-n"]));
        case.assert_held(&diagnosis, word, reason);
        let plan = diagnosis["plan"]["id"].as_str().unwrap();
        let approved = case.heal(&["--approve", plan]);
        if approvable {
            case.assert_healed(approved.expect_code(0), step == RESTART);
        } else {
            case.assert_held(&Case::diagnosis(approved), word, reason);
        }
    };
    let never = "container:{name} has the label healer.restart=false: healer never restarts it";
    let human = "container:{name} has the label healer.mode=suggest: a human decides";
    let alone = "container:{name} has the label healer.enable=false: healer leaves it alone";
    check("healer.restart=false", RESTART, "not_allowed", never, false);
    check("healer.mode=suggest", RESTART, "suggest", human, true);
    check("healer.enable=false", RESTART, "not_allowed", alone, false);
    // It mounts the directory of the file that is edited.
    check("healer.mode=suggest", "", "suggest", human, true);
    check("healer.enable=false", "", "not_allowed", alone, false);
    let unclear = "container:{name}: label healer.restart=no means nothing: write true or false; until then nothing is \
                   done that touches it";
    check("healer.restart=no", RESTART, "not_allowed", unclear, false);
}

#[test]
fn a_label_that_forbids_nothing_changes_nothing() {
    let Some(docker) = Docker::require() else { return };
    let _engine = alone();
    let check = |labels: &[&str], step: &str| {
        let case = Case::new(&docker, labels, "", step);
        let healed = case.heal(&[]).expect_code(0);
        case.assert_healed(healed, step == RESTART);
    };
    check(&["healer.mode=auto", "healer.restart=true", "healer.enable=true"], RESTART);
    // Editing is no restart.
    check(&["healer.restart=false"], "");
    let case = Case::new(&docker, &["healer.mode=auto"], "mode = \"suggest\"", RESTART);
    let diagnosis = Case::diagnosis(case.heal(&[]));
    case.assert_held(&diagnosis, "suggest", "mode is suggest: a human decides");
}

#[test]
fn a_compose_project_is_not_restarted_where_one_of_its_containers_forbids_it() {
    let Some(docker) = Docker::require() else { return };
    let _engine = among_others();
    for step in [r#"{ restart = "compose:{name}" }"#, r#"{ restart = "compose:{name}/db" }"#] {
        let labels = ["healer.restart=false", "com.docker.compose.project={name}", "com.docker.compose.service=db"];
        let case = Case::new(&docker, &labels, "", step);
        let diagnosis = Case::diagnosis(case.heal(&[]));
        let reason = "container:{name} has the label healer.restart=false: healer never restarts it";
        case.assert_held(&diagnosis, "not_allowed", reason);
    }
}

#[test]
fn a_rule_that_a_label_holds_for_good_is_remarked_by_config_check() {
    let Some(docker) = Docker::require() else { return };
    let _engine = among_others();
    let check = |label: &str, told: bool| {
        let case = Case::new(&docker, &[label], "", RESTART);
        let data = healer(&case.root, &["config", "check", "--json"]).expect_code(0).data();
        let remark = format!("container {} has the label {label}: rule `slow-down` will be held", case.container.name);
        let messages = data["warnings"].as_array().unwrap().iter().map(|w| w["message"].clone());
        assert_eq!(messages.filter(|m| *m == remark.as_str()).count(), usize::from(told), "{data:#}");
    };
    check("healer.restart=false", true);
    check("healer.enable=false", true);
    check("healer.mode=suggest", false);
}

#[test]
fn a_label_that_comes_between_decision_and_fix_is_obeyed() {
    let Some(docker) = Docker::require() else { return };
    let _engine = among_others();
    let root = Root::new();
    let name = Docker::unique_name("late");
    let container = docker.run(&name, &[], &["/bin/sh", "-c", "exit 3"]);
    docker.cli(&["wait", &name]);
    root.config(&format!(
        "[allow]\ncontainers = [\"{name}\"]\n[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"{}\"\n\
         include = [\"{name}\"]\n[limits]\nstart_grace = \"0s\"\nmin_duration = \"4s\"\n[[rule]]\nname = \"up-again\"\n\
         when = {{ container = \"{name}\", state = \"exited\" }}\nissue_type = \"container_crash\"\nconfidence = 95\n\
         [[rule.fix]]\nfix_type = \"restart\"\nsteps = [{{ restart = \"container:{name}\" }}]\n",
        docker.socket
    ));
    let mut pass = spawn(&root, &["heal"]);
    // Said before the pass waits whether the trouble is a blip.
    pass.wait_for("fixing");
    drop(container);
    let again = docker.run(&name, &["--label=healer.restart=false"], &["/bin/sh", "-c", "exit 3"]);
    docker.cli(&["wait", &name]);
    let started = again.inspect("{{.State.StartedAt}}");
    let ran = pass.wait();
    let reason = format!("container:{name} has the label healer.restart=false: healer never restarts it");
    assert!(ran.stderr.contains(&format!("{reason}: nothing was changed")), "{}", ran.output());
    assert_eq!(again.inspect("{{.State.StartedAt}}"), started);
    let called_off = root.state_lines("events.jsonl").into_iter().find(|e| e["kind"] == "called_off").unwrap();
    assert_eq!(called_off["why"], reason.as_str(), "{called_off:#}");
}

#[test]
fn enable_takes_a_container_out_of_the_check_or_into_it() {
    let Some(docker) = Docker::require() else { return };
    let _engine = alone();
    let root = Root::new();
    let project = Docker::unique_name("enable");
    let start = |part: &str, label: &str| {
        let label = format!("--label={label}");
        docker.run(&format!("{project}-{part}"), &[&label], &["/bin/sleep", "600"])
    };
    let all = [
        start("asked", "other=1"),
        start("out", "healer.enable=false"),
        start("unclear", "healer.enable=nein"),
        start("typo", "healer.restrat=false"),
        docker.run(&format!("more-{project}"), &["--label=healer.enable=true"], &["/bin/sleep", "600"]),
    ];
    let check = |more: &str| {
        root.config(&format!(
            "[checks.host]\nenabled = false\n[checks.docker]\nsocket = \"{}\"\ninclude = [\"{project}-*\"]\n{more}",
            docker.socket
        ));
        let data = healer(&root, &["check", "--json"]).expect_code(1).data();
        let containers = data["checks"]["docker"]["containers"].as_array().unwrap().clone();
        let mine = containers.into_iter().filter(|c| c["name"].as_str().unwrap().contains(&project));
        mine.map(|c| (c["name"].as_str().unwrap().replace(&project, "P"), c["message"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let found = check("");
    let mut names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["P-asked", "P-typo", "P-unclear", "more-P"]);
    let message = |found: &[(String, String)], wanted: &str| {
        found.iter().find(|(name, _)| name == wanted).map(|(_, message)| message.clone()).unwrap()
    };
    assert_eq!(message(&found, "P-unclear"), "label healer.enable=nein means nothing: write true or false");
    let unknown = "label healer.restrat is none that healer knows (healer.enable, healer.mode, healer.restart)";
    assert_eq!(message(&found, "P-typo"), unknown);
    let pass = healer(&root, &["diagnose", "--json"]).expect_code(0).data();
    let of = |part: &str| {
        let component: serde_json::Value = format!("container:{project}-{part}").into();
        let mut all = pass["diagnoses"].as_array().unwrap().iter();
        all.find(|d| d["trigger"]["component"] == component).map(|d| [d["issue_type"].clone(), d["category"].clone()])
    };
    let configuration: serde_json::Value = "configuration".into();
    assert_eq!(of("unclear"), Some([configuration.clone(), configuration]), "{pass:#}");
    // Where the configuration itself asks for such a label it means what that says.
    let found = check("labels = [\"healer.restrat\", \"healer.enable\"]\n");
    assert!(message(&found, "P-typo").starts_with("Up "), "{found:?}");
    drop(all);
}

#[test]
fn what_labels_say_is_in_the_recording() {
    let Some(docker) = Docker::require() else { return };
    let _engine = among_others();
    let case = Case::new(&docker, &["healer.mode=suggest"], "", RESTART);
    case.heal(&["-n", "--record", "recording"]).expect_code(10);
    let elsewhere = Root::new();
    elsewhere.write("recording", case.root.read_text("recording"));
    let again = support::spawn_command(elsewhere.bare_command(&["replay", "recording", "--json"])).wait();
    let data = again.expect_code(0).data();
    assert_eq!((&data["same"], &data["diagnoses"][0]["hold"]), (&true.into(), &"suggest".into()), "{data:#}");
    // Without them the decision is another one.
    let mut recording: Value = serde_json::from_str(&elsewhere.read_text("recording")).unwrap();
    recording["around"]["labels"] = Value::Null;
    recording["around"].as_object_mut().unwrap().remove("labels");
    elsewhere.write("recording", recording.to_string());
    support::spawn_command(elsewhere.bare_command(&["replay", "recording"])).wait().expect_code(10);
}
