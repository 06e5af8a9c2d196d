//! Which finding is only a symptom of which: from what is red, along what is known to stand on what, to the deepest thing
//! that is critical.
//!
//! A graph of components: checks, containers (`container:NAME`), log sources (that of a container bears its name). A check
//! stands on its container and on what it `depends_on`; a container and its log stand on what its checks depend on. What
//! began before its supposed root was last seen well is no symptom of it.

use crate::config::Engine;
use crate::diagnose::shape::Shape;
use crate::diagnose::streaks::Onset;
use crate::model::{CheckKind, CheckResult, Container, ContainerState, Moment, Status};
use std::collections::BTreeMap;

/// The component that a container is.
pub fn component_of(container: &str) -> String {
    format!("container:{container}")
}

/// The status of what a check itself looks at: of the Docker check that is the engine, not its containers.
pub fn own_status(check: &CheckResult) -> Status {
    let engine_answers = check.kind == CheckKind::Docker && check.connected == Some(true);
    if engine_answers { Status::Healthy } else { check.status }
}

/// The status of a check or a container; `None` where it was not looked at.
pub fn status_of(component: &str, checks: &[CheckResult]) -> Option<Status> {
    let check = || checks.iter().find(|c| c.name == component).map(own_status);
    let container = |name: &str| checks.iter().flat_map(|c| &c.containers).find(|c| c.name == name).map(|c| c.status);
    component.strip_prefix("container:").map_or_else(check, container)
}

/// Whether the containers could be listed at all.
pub fn sees_containers(checks: &[CheckResult]) -> bool {
    checks.iter().any(|c| c.kind == CheckKind::Docker && c.connected == Some(true))
}

/// How many things can be critical by themselves: containers, and checks that look at none of them. The Docker check
/// stands for its containers, where it has any.
pub fn components(engine: &Engine, checks: &[CheckResult]) -> usize {
    let onsets = BTreeMap::new();
    let graph = Graph::new(engine, checks, &onsets);
    let count = |check: &CheckResult| match check.containers.len() {
        0 => usize::from(graph.container_of(check).is_none()),
        containers => containers,
    };
    checks.iter().map(count).sum()
}

/// Whether something began before this moment.
pub type Before<'f> = dyn Fn(&Moment) -> bool + 'f;

/// What stands on what, and how it is.
#[derive(Clone, Copy)]
pub struct Graph<'a> {
    engine: &'a Engine,
    checks: &'a [CheckResult],
    onsets: &'a BTreeMap<String, Onset>,
}

impl<'a> Graph<'a> {
    pub fn new(engine: &'a Engine, checks: &'a [CheckResult], onsets: &'a BTreeMap<String, Onset>) -> Self {
        Graph { engine, checks, onsets }
    }

    /// Every critical check and container that is nobody's symptom, in the order of the configuration.
    pub fn roots(&self) -> Vec<String> {
        let checks = self.checks.iter().map(|c| (c.name.clone(), own_status(c)));
        let containers = self.checks.iter().flat_map(|c| &c.containers).map(|c| (component_of(&c.name), c.status));
        let critical = checks.chain(containers).filter(|(_, status)| *status == Status::Critical);
        critical.map(|(component, _)| component).filter(|c| self.root_of(c).is_none()).collect()
    }

    /// What a check or a container is a symptom of; `None` when it is its own root.
    pub fn root_of(&self, component: &str) -> Option<String> {
        self.sound(component, self.walk(component, None, &mut Vec::new()))
    }

    /// What errors of this shape in a log are a symptom of; `before` says whether they had begun before a moment.
    /// `by_rule`: the operator has a rule for them, so in the log of the critical service itself they are more than it
    /// shows from outside.
    pub fn root_of_errors(&self, source: &str, shape: Shape, by_rule: bool, before: &Before<'_>) -> Option<String> {
        if shape == Shape::Own {
            return None;
        }
        let container = source.strip_prefix("container:");
        let linked = self.is_linked(source);
        let found = self.walk(source, Some(before), &mut Vec::new());
        let found = found.or_else(|| if linked { None } else { self.hub_behind(container, shape, before) });
        let found = found.or_else(|| container.filter(|_| !by_rule).and_then(|c| self.own_check(c)));
        self.sound(source, found)
    }

    /// Whether a root could explain errors of this shape in this log at all.
    pub fn may_explain(&self, source: &str, shape: Shape) -> bool {
        match shape {
            Shape::Own => false,
            Shape::Dependency(_) => true,
            Shape::Other => self.is_linked(source),
        }
    }

    /// Whether it is known what a log's source depends on.
    fn is_linked(&self, source: &str) -> bool {
        let container = source.strip_prefix("container:");
        container.is_some_and(|c| self.checks_of(c).any(|check| !check.depends_on.is_empty()))
    }

    /// A root must be one itself, and another component: where things stand on each other in a circle, each is its own.
    fn sound(&self, component: &str, root: Option<String>) -> Option<String> {
        root.filter(|r| r != component && self.walk(r, None, &mut Vec::new()).is_none())
    }

    /// The deepest critical thing that this stands on, through what is red on the way.
    fn walk(&self, component: &str, before: Option<&Before<'_>>, path: &mut Vec<String>) -> Option<String> {
        if path.iter().any(|p| p == component) {
            return None;
        }
        path.push(component.to_owned());
        let found = self.parents(component).into_iter().find_map(|parent| {
            let status = status_of(&parent, self.checks).filter(|s| s.is_red())?;
            if !self.is_own_container(component, &parent) && self.is_independent(component, &parent, before) {
                return None;
            }
            self.walk(&parent, None, path).or_else(|| (status == Status::Critical).then_some(parent))
        });
        path.pop();
        found
    }

    /// Whether this is a check and that the container it looks at: one service, which its check may see failing first.
    fn is_own_container(&self, component: &str, parent: &str) -> bool {
        let check = self.checks.iter().find(|c| c.name == component);
        check.and_then(|c| self.container_of(c)).is_some_and(|c| component_of(&c.name) == parent)
    }

    /// Whether it began before the other was last seen well.
    fn is_independent(&self, component: &str, root: &str, before: Option<&Before<'_>>) -> bool {
        let Some(root) = self.onsets.get(root) else { return false };
        match before {
            Some(before) => root.healthy_at.as_ref().is_some_and(before),
            None => self.onsets.get(component).is_some_and(|own| own.is_before(root)),
        }
    }

    /// What a component stands on, the nearest first.
    fn parents(&self, component: &str) -> Vec<String> {
        match component.strip_prefix("container:") {
            Some(name) => self.checks_of(name).flat_map(|check| self.needs(check, Some(name))).collect(),
            None => {
                let Some(check) = self.checks.iter().find(|c| c.name == component) else { return Vec::new() };
                let container = self.container_of(check).map(|c| component_of(&c.name));
                container.into_iter().chain(self.needs(check, None)).collect()
            }
        }
    }

    /// The checks that a check depends on, each after its container; none that looks at the container `but`.
    fn needs(&self, check: &CheckResult, but: Option<&str>) -> Vec<String> {
        let needed = check.depends_on.iter().filter_map(|name| self.checks.iter().find(|c| c.name == *name));
        let mut needs = Vec::new();
        for check in needed {
            let container = self.container_of(check).map(|c| c.name.as_str());
            if but.is_some() && container == but {
                continue;
            }
            needs.extend(container.map(component_of));
            needs.push(check.name.clone());
        }
        needs
    }

    /// The container that a check looks at: the one that it names, else the one that publishes its port.
    fn container_of(&self, check: &CheckResult) -> Option<&'a Container> {
        let spec = self.engine.check(&check.name)?;
        let containers = || self.checks.iter().flat_map(|c| &c.containers);
        if let Some(name) = &spec.container {
            return containers().find(|c| c.name == *name);
        }
        let port = spec.probe.local_port()?;
        // One that runs has the port; else the one that ran last.
        containers()
            .filter(|c| c.ports.contains(&port))
            .max_by_key(|c| (c.state == ContainerState::Running, c.finished_at, c.started_at))
    }

    fn checks_of(&self, container: &str) -> impl Iterator<Item = &'a CheckResult> {
        self.checks.iter().filter(move |c| self.container_of(c).is_some_and(|of| of.name == container))
    }

    /// The container of a check that answers, if wrongly: its log may say why.
    pub fn container_that_answers(&self, check: &str) -> Option<String> {
        let check = self.checks.iter().find(|c| c.name == check && c.connected == Some(true))?;
        self.container_of(check).map(|c| component_of(&c.name))
    }

    /// Whether this is the container of a database or a queue that is not critical: it logs its clients' errors too.
    pub fn is_well_server(&self, component: &str) -> bool {
        let is_server = |c: &CheckResult| matches!(c.kind, CheckKind::Postgres | CheckKind::Redis);
        let mut checks = component.strip_prefix("container:").into_iter().flat_map(|c| self.checks_of(c));
        checks.any(|c| is_server(c) && c.status != Status::Critical)
    }

    /// A critical check that everything may stand on, where nothing says what a log's source stands on.
    fn hub_behind(&self, container: Option<&str>, shape: Shape, before: &Before<'_>) -> Option<String> {
        let Shape::Dependency(kind) = shape else { return None };
        let hubs = self.checks.iter().filter(|check| {
            let own = container.is_some() && self.container_of(check).map(|c| c.name.as_str()) == container;
            check.status == Status::Critical && self.is_hub(check) && !own && may_be_behind(check.kind, kind)
        });
        // One of the very kind that the errors name goes before the others.
        let mut hubs: Vec<&CheckResult> = hubs.collect();
        hubs.sort_by_key(|check| Some(check.kind) != kind);
        let free =
            |check: &&CheckResult| !self.is_independent(container.unwrap_or_default(), &check.name, Some(before));
        let hub = hubs.into_iter().find(free)?;
        Some(self.root_of(&hub.name).unwrap_or_else(|| hub.name.clone()))
    }

    /// A database or a queue, or what another check depends on.
    fn is_hub(&self, check: &CheckResult) -> bool {
        match check.kind {
            CheckKind::Postgres | CheckKind::Redis => true,
            CheckKind::Docker | CheckKind::Host => false,
            CheckKind::Http | CheckKind::Tcp | CheckKind::Command => {
                self.checks.iter().any(|c| c.depends_on.contains(&check.name))
            }
        }
    }

    /// The critical check of a container that runs: its log shows the same from inside.
    fn own_check(&self, container: &str) -> Option<String> {
        let own = self.checks_of(container).find(|c| c.status == Status::Critical)?;
        Some(self.root_of(&own.name).unwrap_or_else(|| own.name.clone()))
    }
}

/// Whether errors that name one kind of service can come from a check of another.
fn may_be_behind(check: CheckKind, named: Option<CheckKind>) -> bool {
    match check {
        CheckKind::Postgres | CheckKind::Redis => named.is_none_or(|named| named == check),
        _ => true,
    }
}

#[cfg(test)]
pub(crate) mod tests;
