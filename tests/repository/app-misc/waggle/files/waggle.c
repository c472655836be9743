/* Greets whoever is named, in a honeycomb frame. */
#include <comb.h>
#include <stdio.h>

int main(int argc, char **argv)
{
	char line[200];
	snprintf(line, sizeof line, "Hello, %s! waggle " VERSION " dances for you.", argc > 1 ? argv[1] : "swarm");
	comb_frame(stdout, line);
	return 0;
}
