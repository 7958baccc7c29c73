/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where this program lies, and what lies beside it. */

/* The folder, without links and without a slash at its end; NULL if /proc does not say. */
char *program_folder(void);

/* The interpreter for workers. A wheel puts us beside the one that has our package; otherwise PATH
 * decides, and the answer is a bare name. */
char *program_python(void);
