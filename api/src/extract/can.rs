//! The guard: no data without a caller whose permission was checked.
//!
//! [`Can`] keeps its `Ctx` to itself and lends it only to work that runs on the main runtime, where
//! the database's sockets live and a caller who hangs up cancels nothing half done.

use std::future::{Future, Ready, ready};
use std::marker::PhantomData;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use futures_util::FutureExt as _;
use service::auth::permissions::Permission;
use service::auth::principal::{Principal, RequestInfo, client_token_limited};
use service::core::Core;
use service::ctx::{Actor, Ctx};
use service::error::Error;

use super::idempotency;
use crate::error::HttpError;
use crate::gate::{Gate, Work};
use crate::middleware::{caller, request_info};
use crate::openapi::refuse_undeclared;

/// A caller who has the permission `P` in the tenant of their credential.
pub struct Can<P> {
    ctx: Ctx,
    gate: Gate,
    permission: PhantomData<P>,
}

impl<P: Permission> Can<P> {
    /// Runs `work` on the main runtime, at most for the request deadline.
    pub async fn run<F, W, T>(self, work: W) -> Result<T, HttpError>
    where
        W: FnOnce(Ctx) -> F,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        let work = answered(repeated(&self.ctx), work(self.ctx).boxed());
        self.gate.run(Duration::ZERO, work).await
    }

    /// As [`Can::run`], for work that waits on purpose: the deadline starts after `wait`. How many wait
    /// at once is bounded.
    pub async fn run_waiting<F, W, T>(self, wait: Duration, work: W) -> Result<T, HttpError>
    where
        W: FnOnce(Ctx) -> F,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        if wait.is_zero() {
            return self.run(work).await;
        }
        let place = self.gate.waits.take(&self.ctx)?;
        let work = answered(repeated(&self.ctx), work(self.ctx).boxed());
        let held = async move {
            let _place = place;
            work.await
        };
        self.gate.run(wait, held.boxed()).await
    }

    /// For streams, which outlive the handler.
    pub(crate) fn into_parts(self) -> (Ctx, Gate) {
        (self.ctx, self.gate)
    }
}

impl<P: Permission> FromRequest for Can<P> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(authorize::<P>(request))
    }
}

fn authorize<P: Permission>(request: &HttpRequest) -> Result<Can<P>, HttpError> {
    let gate = Gate::of(request)?;
    let principal = caller(request)?;
    principal.rights.require::<P>()?;
    refuse_undeclared(request)?;
    let info = RequestInfo { idempotency: idempotency::key(request)?, ..request_info(request) };
    let ctx = principal.authorize::<P>(&gate.core, &info)?;
    Ok(Can { ctx, gate, permission: PhantomData })
}

/// The context of a request that its caller may send again.
fn repeated(ctx: &Ctx) -> Option<Ctx> {
    ctx.idempotency.is_some().then(|| ctx.clone())
}

/// Does `work`, and asks of what is refused whether the same request was executed meanwhile.
fn answered<T: Send + 'static>(repeated: Option<Ctx>, work: Work<T>) -> Work<T> {
    let Some(ctx) = repeated else { return work };
    async move {
        match work.await {
            Err(error) => Err(ctx.refused(error).await),
            done => done,
        }
    }
    .boxed()
}

/// A caller with a valid credential of their own, whatever their rights: for `whoami` and signing out. A client
/// token is none: it is in the hands of a third party.
pub struct Authenticated {
    ctx: Ctx,
    principal: Principal,
    gate: Gate,
}

impl Authenticated {
    /// Runs `work` on the main runtime, at most for the request deadline.
    pub async fn run<F, W, T>(self, work: W) -> Result<T, HttpError>
    where
        W: FnOnce(Ctx, Principal) -> F,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        let work = answered(repeated(&self.ctx), work(self.ctx, self.principal).boxed());
        self.gate.run(Duration::ZERO, work).await
    }
}

impl Authenticated {
    /// For streams, which outlive the handler.
    pub(crate) fn into_parts(self) -> (Ctx, Gate) {
        (self.ctx, self.gate)
    }
}

impl FromRequest for Authenticated {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let authenticated = || {
            let gate = Gate::of(request)?;
            let principal = caller(request)?;
            if matches!(principal.actor, Actor::ClientToken { .. }) {
                return Err(client_token_limited().into());
            }
            refuse_undeclared(request)?;
            let info = RequestInfo { idempotency: idempotency::key(request)?, ..request_info(request) };
            Ok(Self { ctx: principal.ctx(&gate.core, &info), principal, gate })
        };
        ready(authenticated())
    }
}

/// An operation open to the world. The list of handlers that take it is short and tested.
pub struct Public {
    core: Core,
    info: RequestInfo,
    gate: Gate,
}

impl Public {
    /// Runs `work` on the main runtime, at most for the request deadline.
    pub async fn run<F, W, T>(self, work: W) -> Result<T, HttpError>
    where
        W: FnOnce(Core, RequestInfo) -> F,
        F: Future<Output = Result<T, Error>> + Send + 'static,
        T: Send + 'static,
    {
        self.gate.run(Duration::ZERO, work(self.core, self.info).boxed()).await
    }

    pub fn gate(&self) -> &Gate {
        &self.gate
    }
}

impl FromRequest for Public {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let public = || {
            let gate = Gate::of(request)?;
            refuse_undeclared(request)?;
            Ok(Self { core: gate.core.clone(), info: request_info(request), gate })
        };
        ready(public())
    }
}
