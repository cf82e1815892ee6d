// SPDX-License-Identifier: Apache-2.0
// A child that saves is forked without the index of blocks.
//
// Events write all over the index, a line here and a line there. A page that a child shares is copied at the first
// such write: within a second or two of a save, all of the index, half of what a pool takes. But saving needs
// none of it. So it is taken out of what a fork shares, for the moment of the fork alone: the child hasn't got it, and
// nothing is copied. A child that did look there would end by SIGSEGV; all that a child of the server's does with a
// pool is to save it (RDB, AOF, to a replica).
//
// Rejected: to leave it out for as long as it lives, since the allocator would have to be told before it is
// freed; changes that are put off until the save is over (a second index, and undoing could need memory).
#ifndef MOD_FORK_WITHOUT_H
#define MOD_FORK_WITHOUT_H

int mod_fork_without_start(void); // as the module is loaded; 0, or -1

#endif
