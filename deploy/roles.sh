#!/bin/sh
# Creates the roles and the database when PostgreSQL initializes its data folder: the owner of the tables, the
# application's role, and the role of render workers.
set -eu
psql --set ON_ERROR_STOP=1 --username postgres <<SQL
CREATE ROLE cwz_owner LOGIN NOSUPERUSER NOBYPASSRLS PASSWORD '$OWNER_PASSWORD';
CREATE ROLE cwz_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD '$APP_PASSWORD';
CREATE ROLE cwz_render LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD '$QUEUE_PASSWORD';
CREATE DATABASE cwz OWNER cwz_owner;
SQL
