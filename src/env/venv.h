/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Making a Python virtual environment and running programs for it; pip.c's tools. */

#include "base/base.h"
#include "base/str.h"
#include "env/pip.h"

/* How programs are run: variables, where their output goes, until when. */
typedef struct VenvRun {
    StrList env;
    int log;         /* their stdout and stderr */
    usec_t deadline; /* monotonic; USEC_INFINITY */
} VenvRun;

_must_check_ int venv_run_init(VenvRun *run, const PipSetup *setup);
void venv_run_done(VenvRun *run);

/* 0: it ended with 0. 1: it failed, *ret_output (owned) has its last lines. -ETIMEDOUT: it was
 * killed at the deadline. */
_must_check_ int venv_run(VenvRun *run, const StrList *argv, char **ret_output);

/* The absolute path of an interpreter; NULL and names without a slash are looked up in PATH. */
_must_check_ int venv_find_python(const char *python, char **ret_path);

/* With the packages of the interpreter's own environment visible behind its own, and with pip. */
_must_check_ int venv_create(VenvRun *run, const char *python, const char *dir);

/* Makes `dir` ready to be renamed to `final`: scripts and settings name the path they run from. */
_must_check_ int venv_relocate(const char *dir, const char *final);
