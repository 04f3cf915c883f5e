//! Compiling a graph, with a pointer to everything that is wrong with it.

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::{Graph, GraphStep, MOST_STEPS, Node};
use crate::error::{Error, FieldError, pointer_to};
use crate::templates::Template;

/// Letters of a step's id.
const LONGEST_ID: usize = 64;
/// What is known of a step that has ended.
const FIELDS: [&str; 3] = ["output", "error", "status"];

impl Graph {
    /// `pointer` is where the object stands that has `steps` and `output`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place of each mistake.
    pub fn compile(steps: &[GraphStep], output: Option<&Value>, pointer: &str) -> Result<Self, Error> {
        let mut check = Check { steps, at: pointer_to(pointer, "steps"), errors: Vec::new() };
        if steps.len() > MOST_STEPS {
            check.errors.push(FieldError::new(
                &check.at,
                "max_items",
                format!("A graph has at most {MOST_STEPS} steps."),
            ));
            return Err(Error::Invalid { errors: check.errors });
        }
        let ids = check.ids();
        let needs: Vec<Vec<usize>> = (0..steps.len()).map(|index| check.needs(index, &ids)).collect();
        let order = check.order(&needs);
        let ancestors = ancestors(&needs, &order);
        let nodes = (0..steps.len()).map(|index| check.node(index, &needs, &ancestors, &ids)).collect();
        let output = output.and_then(|template| {
            let everything = Names { ids: &ids, known: &(0..steps.len()).collect(), item: false };
            check.template(template, &pointer_to(pointer, "output"), &everything)
        });
        if check.errors.is_empty() {
            Ok(Self { nodes, order, output })
        } else {
            Err(Error::Invalid { errors: check.errors })
        }
    }
}

/// All that end before each step does.
fn ancestors(needs: &[Vec<usize>], order: &[usize]) -> Vec<BTreeSet<usize>> {
    let mut all: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); needs.len()];
    for index in order {
        let mut mine = BTreeSet::new();
        for need in needs.get(*index).into_iter().flatten() {
            mine.insert(*need);
            mine.extend(all.get(*need).into_iter().flatten().copied());
        }
        if let Some(place) = all.get_mut(*index) {
            *place = mine;
        }
    }
    all
}

struct Check<'a> {
    steps: &'a [GraphStep],
    at: String,
    errors: Vec<FieldError>,
}

/// What a template may name.
struct Names<'a> {
    ids: &'a HashMap<&'a str, usize>,
    known: &'a BTreeSet<usize>,
    item: bool,
}

impl<'a> Check<'a> {
    fn error(&mut self, pointer: &str, code: &'static str, message: impl Into<String>) {
        self.errors.push(FieldError::new(pointer, code, message.into()));
    }

    fn place(&self, index: usize, field: &str) -> String {
        pointer_to(&pointer_to(&self.at, index), field)
    }

    fn ids(&mut self) -> HashMap<&'a str, usize> {
        let mut ids = HashMap::new();
        for (index, step) in self.steps.iter().enumerate() {
            let place = self.place(index, "id");
            let letter = |c: char| c.is_ascii_alphabetic() || c == '_';
            let fits = step.id.len() <= LONGEST_ID
                && step.id.starts_with(letter)
                && step.id.chars().all(|c| letter(c) || c.is_ascii_digit());
            if !fits {
                let message = "An id is a letter, then letters, digits and _, 64 at most.";
                self.error(&place, "pattern", message);
            } else if ids.contains_key(step.id.as_str()) {
                self.error(&place, "duplicate", format!("Another step is called {:?}.", step.id));
            } else {
                ids.insert(step.id.as_str(), index);
            }
            let targets = [&step.tool, &step.agent, &step.definition];
            if targets.into_iter().flatten().count() != 1 {
                let place = pointer_to(&self.at, index);
                self.error(&place, "target", "A step names exactly one of tool, agent and definition.");
            }
            if step.approval.is_some() && step.tool.is_none() {
                let place = self.place(index, "approval");
                self.error(&place, "exclusive", "Only the call of a tool is approved.");
            }
        }
        ids
    }

    fn needs(&mut self, index: usize, ids: &HashMap<&str, usize>) -> Vec<usize> {
        let Some(step) = self.steps.get(index) else { return Vec::new() };
        let mut found = Vec::new();
        for (at, need) in step.needs.iter().enumerate() {
            let place = pointer_to(&self.place(index, "needs"), at);
            match ids.get(need.as_str()) {
                None => self.error(&place, "unknown_step", format!("There is no step {need:?}.")),
                Some(other) if *other == index => {
                    self.error(&place, "cycle", "A step cannot need itself.");
                }
                Some(other) if found.contains(other) => {
                    self.error(&place, "duplicate", format!("{need:?} is named twice."));
                }
                Some(other) => found.push(*other),
            }
        }
        found
    }

    /// Each step behind those that it needs; what is left over goes round in a circle.
    fn order(&mut self, needs: &[Vec<usize>]) -> Vec<usize> {
        let mut order: Vec<usize> = Vec::new();
        let mut left: BTreeSet<usize> = (0..needs.len()).collect();
        loop {
            let is_free = |index: &usize| {
                needs.get(*index).is_none_or(|needs| needs.iter().all(|need| !left.contains(need)))
            };
            let free: Vec<usize> = left.iter().copied().filter(is_free).collect();
            if free.is_empty() {
                break;
            }
            left.retain(|index| !free.contains(index));
            order.extend(free);
        }
        for index in &left {
            let needs = needs.get(*index).map(Vec::as_slice).unwrap_or_default();
            let Some(at) = needs.iter().position(|need| left.contains(need)) else { continue };
            let place = pointer_to(&self.place(*index, "needs"), at);
            self.error(&place, "cycle", "This need leads back to the step itself.");
        }
        order.extend(left);
        order
    }

    fn node(
        &mut self,
        index: usize,
        needs: &[Vec<usize>],
        ancestors: &[BTreeSet<usize>],
        ids: &HashMap<&str, usize>,
    ) -> Node {
        let step = self.steps.get(index).cloned().unwrap_or_default();
        let known = ancestors.get(index).cloned().unwrap_or_default();
        let before = Names { ids, known: &known, item: false };
        let within = Names { item: step.for_each.is_some(), ..before };
        let when = step.when.clone().map(Value::String);
        let when = when.and_then(|when| self.template(&when, &self.place(index, "when"), &before));
        let list = step.for_each.as_ref().filter(|list| {
            let is_list = list.is_array() || list.is_string();
            if !is_list {
                let place = self.place(index, "forEach");
                self.error(&place, "type", "forEach is a list, or a template of one.");
            }
            is_list
        });
        let for_each = list.and_then(|list| self.template(list, &self.place(index, "forEach"), &before));
        let input = step.input.as_ref();
        let input = input.and_then(|input| self.template(input, &self.place(index, "input"), &within));
        let needs = needs.get(index).cloned().unwrap_or_default();
        Node { id: step.id, needs, ancestors: known, when, for_each, input, on_error: step.on_error }
    }

    fn template(&mut self, template: &Value, pointer: &str, names: &Names<'_>) -> Option<Template> {
        match Template::compile(template, pointer) {
            Ok(template) => {
                for (place, name) in template.names(pointer) {
                    self.name(&place, &name, names);
                }
                Some(template)
            }
            Err(Error::Invalid { errors }) => {
                self.errors.extend(errors);
                None
            }
            Err(other) => {
                self.error(pointer, "template", other.to_string());
                None
            }
        }
    }

    /// `name` is a path: `steps.fetch.output.body`.
    fn name(&mut self, place: &str, name: &str, names: &Names<'_>) {
        let mut path = name.split('.');
        match (path.next().unwrap_or_default(), path.next(), path.next()) {
            ("input", ..) => {}
            ("item" | "index", ..) if names.item => {}
            ("item" | "index", ..) => {
                self.error(
                    place,
                    "unknown_name",
                    "Only the input of a step with forEach has item and index.",
                );
            }
            ("steps", None, _) => {
                self.error(place, "unknown_step", "A step is named by its id: steps.<id>.output.");
            }
            ("steps", Some(id), field) => match names.ids.get(id) {
                None => self.error(place, "unknown_step", format!("There is no step {id:?}.")),
                Some(index) if !names.known.contains(index) => {
                    let message = format!("{id:?} is not among the steps that end before: add it to needs.");
                    self.error(place, "not_needed", message);
                }
                Some(_) if field.is_some_and(|field| !FIELDS.contains(&field)) => {
                    self.error(place, "unknown_name", "A step has an output, an error and a status.");
                }
                Some(_) => {}
            },
            (other, ..) => {
                self.error(
                    place,
                    "unknown_name",
                    format!("There is no {other:?}: input and steps are known."),
                );
            }
        }
    }
}
