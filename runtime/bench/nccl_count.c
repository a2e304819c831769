/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/nccl_count.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OBJECTS_MAX = 256 };

/* An object's name is written out once, and by its number from then on: "ob=(3) /path", "ob=(3)". */
static bool is_left_out(const char *text, const char *without, bool *known, bool *left_out)
{
    char *end = NULL;
    const long number = text[0] == '(' ? strtol(text + 1, &end, 10) : -1;
    if (number < 0 || number >= OBJECTS_MAX || *end != ')')
        return strstr(text, without) != NULL;
    if (!known[number]) {
        known[number] = true;
        left_out[number] = strstr(end, without) != NULL;
    }
    return left_out[number];
}

bool muster_nccl_count_read(const char *path, const char *without, uint64_t *own, uint64_t *others)
{
    bool known[OBJECTS_MAX] = {false}, left_out[OBJECTS_MAX] = {false};
    bool of_others = false, of_a_call = false;
    char *line = NULL;
    size_t capacity = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    *own = 0;
    *others = 0;
    while (getline(&line, &capacity, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "ob=", 3) == 0) {
            of_others = is_left_out(line + 3, without, known, left_out);
        } else if (strncmp(line, "cob=", 4) == 0) {
            (void)is_left_out(line + 4, without, known, left_out);
        } else if (strncmp(line, "calls=", 6) == 0) {
            of_a_call = true; /* the next line is what the callee cost: counted there */
        } else if (isdigit((unsigned char)line[0]) || line[0] == '+' || line[0] == '-' ||
                   line[0] == '*') {
            const char *cost = strchr(line, ' ');
            if (!of_a_call && cost != NULL)
                *(of_others ? others : own) += strtoull(cost, NULL, 10);
            of_a_call = false;
        }
    }
    free(line);
    fclose(file);
    return true;
}
