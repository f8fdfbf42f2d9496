//! Partner applications.
//!
//! Invariant: every application is found by the digest of its token. The token itself is stored nowhere.

use model::{Application, ApplicationName, SecretDigest};

use crate::{
    Store, StoreError,
    backend::conn::Conn,
    tables::applications,
    write::lock_order::{LockOrder, Write},
};

impl Store {
    /// Registers an application.
    ///
    /// # Errors
    /// `Conflict`: an application of that name exists.
    pub async fn add_application(
        &self,
        application: Application,
        token: SecretDigest,
    ) -> Result<(), StoreError> {
        let clock = self.0.clock;
        self.0
            .writer
            .run(Write::of(LockOrder::Nothing), move |conn| {
                applications::insert(conn, clock.now(), &application, &token)
            })
            .await
    }

    /// Returns the application with this token, disabled or not.
    pub async fn application(
        &self,
        token: SecretDigest,
    ) -> Result<Option<Application>, StoreError> {
        self.0.readers.application(token).await
    }

    /// Returns the application of this name, disabled or not.
    pub async fn application_named(
        &self,
        name: ApplicationName,
    ) -> Result<Option<Application>, StoreError> {
        self.0.readers.application_named(name).await
    }

    /// Returns all applications.
    pub async fn applications(&self) -> Result<Vec<Application>, StoreError> {
        self.0.readers.run(applications::list).await
    }

    /// Disables or enables an application.
    ///
    /// # Errors
    /// `NotFound`: no application has that name.
    pub async fn set_application_disabled(
        &self,
        name: ApplicationName,
        is_disabled: bool,
    ) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let change = move |conn: &mut Conn| {
            applications::set_disabled(conn, clock.now(), &name, is_disabled)
        };
        self.0.writer.run(Write::of(LockOrder::Nothing), change).await
    }

    /// Replaces the token of an application. The former token ends at once.
    ///
    /// # Errors
    /// `NotFound`: no application has that name.
    pub async fn set_application_token(
        &self,
        name: ApplicationName,
        token: SecretDigest,
    ) -> Result<(), StoreError> {
        let clock = self.0.clock;
        let change =
            move |conn: &mut Conn| applications::set_token(conn, clock.now(), &name, &token);
        self.0.writer.run(Write::of(LockOrder::Nothing), change).await
    }
}
