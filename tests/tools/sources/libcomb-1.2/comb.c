#include "comb.h"

#include <string.h>

static void edge(FILE *out, size_t width, const char *left, const char *right)
{
	fputs(left, out);
	for (size_t i = 0; i < width; i++)
		fputc('_', out);
	fprintf(out, "%s\n", right);
}

void comb_frame(FILE *out, const char *text)
{
	size_t width = strlen(text) + 2;

	edge(out, width, "  ", "");
	fprintf(out, " /%*s\\\n", (int)width, "");
	fprintf(out, "<  %s  >\n", text);
	edge(out, width, " \\", "/");
}
