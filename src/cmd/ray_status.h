/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Commands of `ray` that ask a running cluster, or about the way to it. */

int ray_status(int argc, char **argv);
int ray_health_check(int argc, char **argv);
int ray_get_auth_token(int argc, char **argv);
int ray_dashboard_url(int argc, char **argv);
