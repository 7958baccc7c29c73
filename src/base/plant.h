/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Bugs that a simulation has to find. Each is built in by -DMOBULA_PLANT=N, in the simulation's own
 * copies of the code only (its meson.build says which); everywhere else they are compiled away.
 * 1 to 3 are own's; 11 and above those of the simulated cluster (test/sim), which finds some of own's too. */

#ifndef MOBULA_PLANT
#    define MOBULA_PLANT 0
#endif
#define PLANTED(n) (MOBULA_PLANT == (n))
