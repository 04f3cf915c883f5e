//! actix-web with nothing around it: a constant answer, and a row read by its key through sea-orm.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use sea_orm::entity::prelude::*;
use sea_orm::{ConnectOptions, Database, Set};
use serde::Serialize;
use serde_json::json;
use service::clock::Clock;
use service::ids::Ids;

use crate::Result;
use crate::closed_loop::Plan;
use crate::http::Request;

const CONNECTIONS: usize = 64;
const ROWS: usize = 1000;

/// The row of the limits' own table.
mod row {
    use super::*;

    #[derive(Clone, Debug, PartialEq, DeriveEntityModel, Serialize)]
    #[sea_orm(table_name = "row_by_key")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub tenant_id: Uuid,
        pub status: String,
        pub input: String,
        pub attempt: i32,
    }

    #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
    pub enum Relation {}

    impl ActiveModelBehavior for ActiveModel {}
}

pub struct Bare {
    address: SocketAddr,
    ids: Vec<Uuid>,
}

impl Bare {
    pub async fn start(url: &str) -> Result<Self> {
        let ids = fill(url).await?;
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let url = url.to_owned();
        // It ends with this process.
        std::thread::spawn(move || actix_web::rt::System::new().block_on(serve(listener, url)));
        Ok(Self { address, ids })
    }

    pub fn plan(&self, row: bool, warm_up: Duration, time: Duration) -> Plan {
        let requests = if row {
            self.ids.iter().map(|id| Request::new("GET", &format!("/rows/{id}"), "", None)).collect()
        } else {
            vec![Request::new("GET", "/", "", None)]
        };
        let requests = Arc::new(requests);
        Plan {
            address: self.address,
            connections: CONNECTIONS,
            warm_up,
            time,
            requests,
            status: 200,
            contains: "",
        }
    }
}

async fn fill(url: &str) -> Result<Vec<Uuid>> {
    let db = Database::connect(url).await?;
    let table = db.get_database_backend().build(
        sea_orm::Schema::new(db.get_database_backend()).create_table_from_entity(row::Entity).if_not_exists(),
    );
    db.execute_raw(table).await?;
    let made = Ids::random(Clock::system());
    let ids: Vec<Uuid> = std::iter::repeat_with(|| made.next()).take(ROWS).collect();
    let rows = ids.iter().map(|id| row::ActiveModel {
        id: Set(*id),
        tenant_id: Set(*id),
        status: Set("queued".to_owned()),
        input: Set(super::INPUT.to_owned()),
        attempt: Set(0),
    });
    row::Entity::insert_many(rows).exec(&db).await?;
    db.close().await?;
    Ok(ids)
}

async fn serve(listener: TcpListener, url: String) -> std::io::Result<()> {
    let mut options = ConnectOptions::new(url);
    options.max_connections(32).sqlx_logging(false);
    let db = web::Data::new(Database::connect(options).await.map_err(std::io::Error::other)?);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(db.clone())
            .route("/", web::get().to(async || HttpResponse::Ok().json(json!({ "status": "COMPLETED" }))))
            .route("/rows/{id}", web::get().to(by_key))
    });
    server.workers(2).disable_signals().listen(listener)?.run().await
}

#[expect(clippy::disallowed_methods, reason = "the limit's own table has no tenant scope")]
async fn by_key(db: web::Data<DatabaseConnection>, id: web::Path<Uuid>) -> HttpResponse {
    match row::Entity::find_by_id(*id).one(db.get_ref()).await {
        Ok(Some(row)) => HttpResponse::Ok().json(row),
        Ok(None) => HttpResponse::NotFound().finish(),
        Err(error) => HttpResponse::InternalServerError().body(error.to_string()),
    }
}
