//! One DDL text for both databases. Migrations are written in PostgreSQL's types; on SQLite the types
//! become those that STRICT tables know (UUIDs are 16-byte blobs, times RFC 3339 text in UTC).

use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_orm::{DbBackend, Statement};

const SQLITE_TYPES: [(&str, &str); 9] = [
    (" UUID", " BLOB"),
    (" TIMESTAMPTZ", " TEXT"),
    (" JSONB", " TEXT"),
    (" BOOLEAN", " INTEGER"),
    (" BIGINT", " INTEGER"),
    (" SMALLINT", " INTEGER"),
    (" BYTEA", " BLOB"),
    (" DOUBLE PRECISION", " REAL"),
    ("\n);", "\n) STRICT;"),
];

/// Runs each statement of `ddl` (separated by `;` at a line's end).
pub async fn run(manager: &SchemaManager<'_>, ddl: &str) -> Result<(), DbErr> {
    let connection = manager.get_connection();
    let sqlite = connection.get_database_backend() == DbBackend::Sqlite;
    let mut text = ddl.to_owned();
    if sqlite {
        for (postgres, strict) in SQLITE_TYPES {
            text = text.replace(postgres, strict);
        }
    }
    for statement in text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
        connection.execute_unprepared(statement).await?;
    }
    Ok(())
}

/// A rule that the database itself keeps: `event` (`INSERT`, `UPDATE`, `UPDATE OF` a column, or `DELETE`) on a row of `table` is refused
/// where `when` holds of `OLD` and `NEW`. One condition serves both databases.
pub struct Guard {
    pub table: &'static str,
    pub event: &'static str,
    pub when: &'static str,
    pub message: &'static str,
}

impl Guard {
    fn name(&self) -> String {
        format!("{}_{}_guard", self.table, self.event.to_lowercase().replace(' ', "_"))
    }

    pub async fn set(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let Self { table, event, when, message } = self;
        let (connection, name) = (manager.get_connection(), self.name());
        if connection.get_database_backend() == DbBackend::Sqlite {
            let trigger = format!(
                "CREATE TRIGGER {name} BEFORE {event} ON {table} WHEN {when} \
                 BEGIN SELECT RAISE(ABORT, '{message}'); END"
            );
            return connection.execute_unprepared(&trigger).await.map(|_| ());
        }
        let row = if *event == "DELETE" { "OLD" } else { "NEW" };
        let function = format!(
            "CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF {when} THEN RAISE EXCEPTION '{message}' USING ERRCODE = 'restrict_violation'; END IF; \
             RETURN {row}; END $$"
        );
        connection.execute_unprepared(&function).await?;
        let trigger =
            format!("CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()");
        connection.execute_unprepared(&trigger).await.map(|_| ())
    }

    /// While its table stays.
    pub async fn lift(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        let of = match connection.get_database_backend() {
            DbBackend::Sqlite => String::new(),
            _ => format!(" ON {}", self.table),
        };
        connection.execute_unprepared(&format!("DROP TRIGGER {}{of}", self.name())).await?;
        self.forget(manager).await
    }

    /// After its table is gone.
    pub async fn forget(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if connection.get_database_backend() != DbBackend::Sqlite {
            connection.execute_unprepared(&format!("DROP FUNCTION {}()", self.name())).await?;
        }
        Ok(())
    }
}

/// A reference to a row of the same tenant, added to a table that exists. SQLite cannot add a key of two columns
/// to a table: triggers refuse what the key would refuse. Rows of `to` are never deleted under it.
pub struct Reference {
    pub table: &'static str,
    pub column: &'static str,
    pub to: &'static str,
}

impl Reference {
    const EVENTS: [&'static str; 2] = ["insert", "update"];

    pub async fn set(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let Self { table, column, to } = self;
        let connection = manager.get_connection();
        if connection.get_database_backend() != DbBackend::Sqlite {
            let key = format!(
                "ALTER TABLE {table} ADD CONSTRAINT {table}_{column}_fkey \
                 FOREIGN KEY (tenant_id, {column}) REFERENCES {to} (tenant_id, id)"
            );
            return connection.execute_unprepared(&key).await.map(|_| ());
        }
        for event in Self::EVENTS {
            let trigger = format!(
                "CREATE TRIGGER {table}_{column}_{event} BEFORE {event} ON {table} \
                 WHEN NEW.{column} IS NOT NULL AND NOT EXISTS \
                 (SELECT 1 FROM {to} r WHERE r.tenant_id = NEW.tenant_id AND r.id = NEW.{column}) \
                 BEGIN SELECT RAISE(ABORT, 'FOREIGN KEY constraint failed'); END"
            );
            connection.execute_unprepared(&trigger).await?;
        }
        Ok(())
    }

    /// Before its column is dropped.
    pub async fn forget(&self, manager: &SchemaManager<'_>) -> Result<(), DbErr> {
        let Self { table, column, to: _ } = self;
        let connection = manager.get_connection();
        if connection.get_database_backend() == DbBackend::Sqlite {
            for event in Self::EVENTS {
                connection.execute_unprepared(&format!("DROP TRIGGER {table}_{column}_{event}")).await?;
            }
        }
        Ok(())
    }
}

/// A CHECK of a table that exists. What replaces it must hold for each row: rows stay where they are.
pub struct Check {
    pub table: &'static str,
    pub columns: [&'static str; 2],
    /// Its text, as it was written.
    pub says: &'static str,
}

impl Check {
    pub async fn replace(&self, manager: &SchemaManager<'_>, by: &str) -> Result<(), DbErr> {
        match manager.get_connection().get_database_backend() {
            DbBackend::Sqlite => self.rewrite(manager, by).await,
            _ => self.exchange(manager, by).await,
        }
    }

    /// SQLite cannot alter a CHECK. Its manual ("Making Other Kinds Of Table Schema Changes", the second
    /// procedure) rewrites the table's text where stored rows do not change by it: no row is copied, and no
    /// index, trigger or reference of another table is touched, as dropping the table would.
    async fn rewrite(&self, manager: &SchemaManager<'_>, by: &str) -> Result<(), DbErr> {
        let Self { table, says, .. } = self;
        let connection = manager.get_connection();
        let version = Statement::from_string(DbBackend::Sqlite, "PRAGMA schema_version");
        let version: i64 = match connection.query_one_raw(version).await? {
            Some(row) => row.try_get_by_index(0)?,
            None => return Err(DbErr::Migration("the schema has no version".to_owned())),
        };
        connection.execute_unprepared("PRAGMA writable_schema = ON").await?;
        let sql = format!(
            "UPDATE sqlite_schema SET sql = replace(sql, 'CHECK ({says})', 'CHECK ({by})') \
             WHERE type = 'table' AND name = '{table}' AND instr(sql, 'CHECK ({says})') > 0"
        );
        let changed = connection.execute_unprepared(&sql).await?.rows_affected();
        connection.execute_unprepared(&format!("PRAGMA schema_version = {}", version + 1)).await?;
        // Reads the schema anew.
        connection.execute_unprepared("PRAGMA writable_schema = RESET").await?;
        if changed == 1 { Ok(()) } else { Err(DbErr::Migration(format!("{table} has no CHECK ({says})"))) }
    }

    /// It was made without a name: it is found by the columns that it names.
    async fn exchange(&self, manager: &SchemaManager<'_>, by: &str) -> Result<(), DbErr> {
        let Self { table, columns: [one, other], .. } = self;
        let sql = format!(
            "DO $$ DECLARE found TEXT; BEGIN \
             SELECT conname INTO STRICT found FROM pg_constraint \
             WHERE conrelid = '{table}'::regclass AND contype = 'c' \
             AND pg_get_constraintdef(oid) LIKE '%{one} IS NULL%' \
             AND pg_get_constraintdef(oid) LIKE '%{other} IS NULL%'; \
             EXECUTE format('ALTER TABLE {table} DROP CONSTRAINT %I', found); \
             END $$"
        );
        let connection = manager.get_connection();
        connection.execute_unprepared(&sql).await?;
        let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {table}_target CHECK ({by})");
        connection.execute_unprepared(&sql).await.map(|_| ())
    }
}

/// Drops tables, the last made first.
pub async fn drop(manager: &SchemaManager<'_>, tables: &[&str]) -> Result<(), DbErr> {
    for table in tables.iter().rev() {
        manager.get_connection().execute_unprepared(&format!("DROP TABLE {table}")).await?;
    }
    Ok(())
}

/// Declares a migration that makes the tables of one domain.
#[macro_export]
macro_rules! tables {
    ($name:literal, [$($table:literal),+ $(,)?], $ddl:expr $(, guards: $guards:expr)?) => {
        pub struct Migration;

        impl sea_orm_migration::MigrationName for Migration {
            fn name(&self) -> &str {
                $name
            }
        }

        #[sea_orm_migration::async_trait::async_trait]
        impl sea_orm_migration::MigrationTrait for Migration {
            fn use_transaction(&self) -> Option<bool> {
                Some(true)
            }

            async fn up(&self, manager: &sea_orm_migration::SchemaManager) -> Result<(), sea_orm_migration::DbErr> {
                $crate::ddl::run(manager, $ddl).await?;
                $(for guard in $guards {
                    guard.set(manager).await?;
                })?
                Ok(())
            }

            async fn down(&self, manager: &sea_orm_migration::SchemaManager) -> Result<(), sea_orm_migration::DbErr> {
                $crate::ddl::drop(manager, &[$($table),+]).await?;
                $(for guard in $guards {
                    guard.forget(manager).await?;
                })?
                Ok(())
            }
        }
    };
}
