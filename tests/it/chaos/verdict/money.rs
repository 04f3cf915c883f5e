//! A run costs what its steps cost, a tree what its runs cost.

use entity::money::Nanos;
use entity::tasks::task_run::Model;

use super::Story;

pub fn check(run: &Model, story: &Story) -> Vec<String> {
    let steps = story.steps(run.id);
    let mut wrong = Vec::new();
    let mut compare = |what: &str, run: i64, steps: i64| {
        if run != steps {
            wrong.push(format!("{what} is {run}, that of its steps {steps}"));
        }
    };
    compare("its cost", run.cost_nanos.0, steps.iter().map(|step| step.cost_nanos).sum::<Nanos>().0);
    compare("its input", run.tokens_input, steps.iter().map(|step| step.tokens_input).sum());
    compare("its output", run.tokens_output, steps.iter().map(|step| step.tokens_output).sum());
    let children = story.runs.values().filter(|child| child.parent_run_id == Some(run.id));
    let below: i64 = children.map(|child| child.cost_nanos.0 + child.child_cost_nanos.0).sum();
    if run.child_cost_nanos.0 != below {
        wrong.push(format!("its children cost {}, they say {below}", run.child_cost_nanos.0));
    }
    wrong
}
