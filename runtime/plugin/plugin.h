/* SPDX-License-Identifier: Apache-2.0 */
/* Finding and loading a library of Muster's own that is wanted at run time only: the trace provider, the
 * device plane. It belongs to the code that loads it, so it is looked for beside the object that holds this
 * code (libmuster, or a program), then in the library folder that belongs to that place, then by the
 * loader's rules. Loaded for good (RTLD_NODELETE): threads of it may outlive whoever closes it. */
#ifndef MUSTER_PLUGIN_PLUGIN_H
#define MUSTER_PLUGIN_PLUGIN_H

#include <stddef.h>

#define MUSTER_PLUGIN_REASON_BYTES 160

/* NULL: not found, or it does not load; then reason says why in the loader's words. Any thread; blocks for
 * the dlopen. */
void *muster_plugin_load(const char *file, char reason[MUSTER_PLUGIN_REASON_BYTES]);

/* The same with a file of the caller's choice. */
void *muster_plugin_load_file(const char *path, char reason[MUSTER_PLUGIN_REASON_BYTES]);

#endif
