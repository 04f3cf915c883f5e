//! How much work a schema can make of a value, known before either is let in.
//!
//! References and unions multiply: thirty definitions that each apply the next one twice are a
//! billion evaluations of one number, and a recursive union doubles with every level of the value.
//! `W(s, d)`, the evaluations along one path of a value of depth `d`, is one for the schema itself,
//! plus all that it applies in place, plus the dearest of what it applies one level down:
//! `W(s, d) = 1 + Σ W(in place, d) + Σ_keyword max W(child, d-1)`. A value of `n` nodes then takes
//! at most `n · W(root, depth)` evaluations.

use std::collections::HashMap;

use serde_json::Value;

/// Evaluations that one check may take: about a second.
const MAX_EVALUATIONS: u64 = 20_000_000;
/// Evaluations that a single scalar may take.
const MAX_IN_PLACE: u64 = 10_000;
/// Schemas applied to the same place, one through the other.
const MAX_CHAIN: usize = 128;
/// Deeper values are refused by every recursive schema.
const MAX_DEPTH: usize = 128;

#[derive(Debug)]
pub(super) struct Cost(Vec<u64>);

#[derive(Default)]
struct Node {
    in_place: Vec<usize>,
    /// Each group holds what one keyword may apply to the same child, of which one counts.
    below: Vec<Vec<usize>>,
    /// Looking for what is unevaluated evaluates a second time.
    twice: bool,
}

impl Cost {
    /// `None` when the schema applies itself in place for ever, or too often.
    pub fn of(schema: &Value) -> Option<Self> {
        let nodes = Graph::of(schema).nodes;
        let mut levels = Vec::with_capacity(MAX_DEPTH);
        let mut above = vec![0; nodes.len()];
        for _ in 0..MAX_DEPTH {
            let mut level = Level { nodes: &nodes, above: &above, known: vec![None; nodes.len()] };
            for index in 0..nodes.len() {
                level.cost(index, 0)?;
            }
            let costs: Vec<u64> = level.known.into_iter().flatten().collect();
            levels.extend(costs.first().copied());
            if costs == above {
                break;
            }
            above = costs;
        }
        levels.first().is_some_and(|scalar| *scalar <= MAX_IN_PLACE).then_some(Self(levels))
    }

    /// Whether a value can be checked within [`MAX_EVALUATIONS`].
    pub fn allows(&self, value: &Value) -> bool {
        let (nodes, depth) = measure(value);
        let settled = self.0.len() < MAX_DEPTH;
        let path = self.0.get(depth).or_else(|| self.0.last().filter(|_| settled));
        path.is_some_and(|path| path.saturating_mul(nodes) <= MAX_EVALUATIONS)
    }
}

/// Values in a value, itself included, and containers around the deepest one.
fn measure(value: &Value) -> (u64, usize) {
    let join = |(nodes, depth): (u64, usize), inner: &Value| {
        let (more, deeper) = measure(inner);
        (nodes + more, depth.max(deeper + 1))
    };
    match value {
        Value::Array(items) => items.iter().fold((1, 0), join),
        Value::Object(members) => members.values().fold((1, 0), join),
        _ => (1, 0),
    }
}

/// `W` of every schema for values of one depth.
struct Level<'a> {
    nodes: &'a [Node],
    above: &'a [u64],
    known: Vec<Option<u64>>,
}

impl Level<'_> {
    fn cost(&mut self, index: usize, chain: usize) -> Option<u64> {
        if let Some(known) = self.known[index] {
            return Some(known);
        }
        if chain > MAX_CHAIN {
            return None;
        }
        let nodes = self.nodes;
        let node = &nodes[index];
        let mut sum = 1_u64;
        for part in &node.in_place {
            sum = sum.saturating_add(self.cost(*part, chain + 1)?);
        }
        for group in &node.below {
            sum = sum.saturating_add(group.iter().map(|child| self.above[*child]).max().unwrap_or(0));
        }
        let cost = if node.twice { sum.saturating_mul(2) } else { sum };
        self.known[index] = Some(cost);
        Some(cost)
    }
}

/// The schemas that can be reached from the root (index 0), found without recursion.
struct Graph<'a> {
    root: &'a Value,
    anchors: HashMap<&'a str, &'a Value>,
    found: Vec<&'a Value>,
    index: HashMap<*const Value, usize>,
    nodes: Vec<Node>,
}

impl<'a> Graph<'a> {
    fn of(root: &'a Value) -> Self {
        let mut anchors = HashMap::new();
        collect_anchors(root, &mut anchors);
        let mut graph = Self { root, anchors, found: Vec::new(), index: HashMap::new(), nodes: Vec::new() };
        graph.add(root);
        while let Some(schema) = graph.found.get(graph.nodes.len()) {
            let node = graph.node(schema);
            graph.nodes.push(node);
        }
        graph
    }

    fn add(&mut self, schema: &'a Value) -> usize {
        *self.index.entry(std::ptr::from_ref(schema)).or_insert_with(|| {
            self.found.push(schema);
            self.found.len() - 1
        })
    }

    fn add_all(&mut self, schemas: &'a Value) -> Vec<usize> {
        match schemas {
            Value::Array(items) => items.iter().map(|schema| self.add(schema)).collect(),
            Value::Object(members) => members.values().map(|schema| self.add(schema)).collect(),
            _ => Vec::new(),
        }
    }

    fn node(&mut self, schema: &'a Value) -> Node {
        let mut node = Node::default();
        for (keyword, value) in schema.as_object().into_iter().flatten() {
            match keyword.as_str() {
                "$ref" | "$dynamicRef" | "$recursiveRef" => {
                    let target = value.as_str().and_then(|target| self.resolve(target));
                    node.in_place.extend(target.map(|target| self.add(target)));
                }
                "not" | "if" | "then" | "else" => node.in_place.push(self.add(value)),
                "allOf" | "anyOf" | "oneOf" | "dependentSchemas" | "dependencies" => {
                    node.in_place.extend(self.add_all(value));
                }
                "properties" | "prefixItems" => node.below.push(self.add_all(value)),
                "patternProperties" => {
                    node.below.extend(self.add_all(value).into_iter().map(|schema| vec![schema]));
                }
                "items" if value.is_array() => node.below.push(self.add_all(value)),
                "unevaluatedItems" | "unevaluatedProperties" => {
                    node.twice = true;
                    node.below.push(vec![self.add(value)]);
                }
                "items" | "additionalItems" | "additionalProperties" | "contains" | "propertyNames" => {
                    node.below.push(vec![self.add(value)]);
                }
                _ => {}
            }
        }
        node
    }

    /// A reference within the document; one that leads nowhere is for the compiler to refuse.
    fn resolve(&self, target: &str) -> Option<&'a Value> {
        let fragment = target.strip_prefix('#')?;
        let fragment = percent_encoding::percent_decode_str(fragment).decode_utf8().ok()?;
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.root.pointer(&fragment);
        }
        self.anchors.get(fragment.as_ref()).copied()
    }
}

fn collect_anchors<'a>(value: &'a Value, anchors: &mut HashMap<&'a str, &'a Value>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect_anchors(item, anchors)),
        Value::Object(members) => {
            for keyword in ["$anchor", "$dynamicAnchor"] {
                if let Some(Value::String(name)) = members.get(keyword) {
                    anchors.insert(name, value);
                }
            }
            members.values().for_each(|member| collect_anchors(member, anchors));
        }
        _ => {}
    }
}
