from engine.cli import main

if __name__ == "__main__":  # workers of a local cluster import this file again
    main()
