-- The tenant as it was first given, in its upper and lower case: the same for all users of a tenant. NULL for users
-- who were added before it was kept, until the next user of the tenant is added.
ALTER TABLE users ADD COLUMN tenant_name TEXT;
